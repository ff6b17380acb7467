package manifest

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParseFile: what is accepted is valid, goes over the wire, and comes back.
func FuzzParseFile(f *testing.F) {
	for _, name := range []string{"minimal", "full"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(Sample("app"))
	f.Add([]byte("name: a\ncontainers: [{image: x, ports: ['1:2/udp', {port: 3}], env: [{name: A, value: 1.10}]}]"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? [x]\n: !!binary x\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseFile(data)
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v, %v", m, err)
		}
		if m == nil {
			if lines := faultLines(err); len(lines) == 0 || len(lines) > maxFaults {
				t.Fatalf("%d faults", len(lines))
			}
			return
		}
		if faults := m.Validate(); len(faults) > 0 {
			t.Fatalf("accepted with %v", faults)
		}
		b, err := Marshal(pin(m))
		if err != nil {
			t.Fatal(err)
		}
		back, err := Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Marshal(back)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("other bytes: %v", err)
		}
	})
}

// FuzzUnmarshal: there is one encoding of each manifest.
func FuzzUnmarshal(f *testing.F) {
	for _, name := range []string{"minimal", "full"} {
		f.Add(canonical(f, sampleFile(f, name)))
	}
	f.Add([]byte{0x12, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Unmarshal(b)
		if err != nil {
			return
		}
		again, err := Marshal(m)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("accepted %x, which marshals as %x, %v", b, again, err)
		}
		back, err := Unmarshal(again)
		if diff := cmp.Diff(m, back); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}

// FuzzQuantity: multiplying the scale by 1000 is the same as moving the point.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"250m", "0.5", "64Mi", "1e3", "1E", "-1", ".", "9e30", "1n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		units, err := ParseQuantity(s, 1)
		if err != nil {
			return
		}
		millis, err := ParseQuantity(s, 1000)
		if err != nil {
			return
		}
		// Rounded up once or twice, it is the same number of units.
		if up := millis/1000 + min(millis%1000, 1); up != units {
			t.Fatalf("%q is %d units and %d thousandths", s, units, millis)
		}
	})
}

// FuzzSplitWords: words that are quoted again split into the same words.
func FuzzSplitWords(f *testing.F) {
	f.Add(`a 'b c' "d\"e" \f`)
	f.Fuzz(func(t *testing.T, s string) {
		words, err := splitWords(s)
		if err != nil {
			return
		}
		var line []byte
		for _, w := range words {
			line = append(line, '\'')
			line = append(line, bytes.ReplaceAll([]byte(w), []byte("'"), []byte(`'\''`))...)
			line = append(line, "' "...)
		}
		again, err := splitWords(string(line))
		if diff := cmp.Diff(words, again); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}
