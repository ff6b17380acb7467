-- key names the data key that a row is sealed with. Empty is the one that the
-- check value of meta was sealed with when the file was made.
ALTER TABLE pods ADD COLUMN key BLOB NOT NULL DEFAULT x'';
