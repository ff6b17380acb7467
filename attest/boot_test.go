package attest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBootFactsCompare(t *testing.T) {
	a, b, c := []byte{1}, []byte{2}, []byte{3}
	boot := &BootFacts{Events: map[int][][]byte{4: {a, b, a}, 9: nil}}
	tests := map[string]struct {
		boot                *BootFacts
		register            int
		want                [][]byte
		missing, unexpected [][]byte
		ok                  bool
	}{
		"equal":              {boot, 4, [][]byte{a, b, a}, nil, nil, true},
		"another order":      {boot, 4, [][]byte{a, a, b}, nil, nil, true},
		"one more":           {boot, 4, [][]byte{a, a}, nil, [][]byte{b}, true},
		"one twice":          {boot, 4, [][]byte{a, b}, nil, [][]byte{a}, true},
		"one less":           {boot, 4, [][]byte{a, a, b, c}, [][]byte{c}, nil, true},
		"nothing wanted":     {boot, 4, nil, nil, [][]byte{a, b, a}, true},
		"nothing there":      {boot, 9, [][]byte{a}, [][]byte{a}, nil, true},
		"both nothing":       {boot, 9, nil, nil, nil, true},
		"register not there": {boot, 5, nil, nil, nil, false},
		"no log":             {nil, 4, [][]byte{a}, nil, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := [][]byte(nil)
			want = append(want, tt.want...)
			missing, unexpected, ok := tt.boot.Compare(tt.register, want)
			if len(missing) != len(tt.missing) || len(missing) > 0 && !cmp.Equal(missing, tt.missing) ||
				!cmp.Equal(unexpected, tt.unexpected) || ok != tt.ok {
				t.Errorf("got %v, %v, %v, want %v, %v, %v", missing, unexpected, ok, tt.missing, tt.unexpected, tt.ok)
			}
			if !cmp.Equal(want, append([][]byte(nil), tt.want...)) {
				t.Error("the caller's list was changed")
			}
		})
	}
}
