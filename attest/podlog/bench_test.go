package podlog

import "testing"

func BenchmarkSeal(b *testing.B) {
	e := events()[4]
	for b.Loop() {
		if _, _, err := Seal(1, e, salt(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	rs, os := seal(b, events()...)
	for b.Loop() {
		if _, err := Open(rs[4], os[4]); err != nil {
			b.Fatal(err)
		}
	}
}

// page is as many records as one list has.
func page() []Record {
	rs := make([]Record, MaxPage)
	for i := range rs {
		rs[i] = Record{Seq: uint64(i), Type: TypeExecAttempt, Commitment: [32]byte{byte(i)}}
	}
	return rs
}

func BenchmarkReplayPage(b *testing.B) {
	rs := page()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Replay(rs, Head{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePage(b *testing.B) {
	wire := must[[]byte](b)(EncodeList(page()))
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeList(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadJournal(b *testing.B) {
	file := journalOf(b, testKey, page()[:1024], true)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, _, _, err := ReadJournal(file, testKey); err != nil {
			b.Fatal(err)
		}
	}
}
