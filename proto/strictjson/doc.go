// Package strictjson reads the JSON that a stranger sent, and says everything
// that is wrong with it at once.
//
// The grammar is that of encoding/json, RFC 8259. What that package lets
// through for compatibility is refused here: a member given twice, a member
// that no field has, a name in another case, text that is not UTF-8 or has half
// of a surrogate pair (both become U+FFFD there), null where a value is meant,
// and nesting without a bound. It is the profile of I-JSON (RFC 7493), plus
// closed objects. encoding/json/v2 does much of this but is an experiment of
// this Go; the fuzz target holds the two packages together: what is accepted
// here, encoding/json accepts with the same value.
//
// There are two classes of refusal, both invalid_argument. A text that is no
// JSON has one fault, json.malformed: line, column, byte offset, what stands
// there, what should, and an excerpt of some bytes around. The names of usual
// errors (a single quote, a trailing comma, a comment, NaN) are in the message.
// A JSON that says the wrong thing has all its faults, json.invalid, each with
// a JSON pointer (RFC 6901) as its field, "document" for the root, and the line.
//
// [Parse] returns a [Value], the tree with its pointers and the digits of its
// numbers as they were sent; [Decode] fills a Go value. A field of type Value
// takes any JSON, for readers with their own rules. Values are not repeated in
// faults of type, since any of them may be a secret; the excerpt of a syntax
// error is all that is shown, and only to whom sent it.
package strictjson
