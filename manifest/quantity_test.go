package manifest

import (
	"math"
	"testing"

	"apocryph/proto/status"
)

func TestParseQuantity(t *testing.T) {
	tests := []struct {
		text  string
		scale uint64
		want  uint64
	}{
		{"0", 1, 0},
		{"1", 1, 1},
		{"+1", 1, 1},
		{"250m", 1000, 250},
		{"0.5", 1000, 500},
		{".5", 1000, 500},
		{"2.", 1000, 2000},
		{"2", 1000, 2000},
		{"1u", 1000, 1},
		{"100.5m", 1000, 101},
		{"64Mi", 1, 64 << 20},
		{"1.5Gi", 1, 3 << 29},
		{"0.1Gi", 1, 107374183},
		{"1Ki", 1, 1024},
		{"1Ti", 1, 1 << 40},
		{"1Pi", 1, 1 << 50},
		{"1Ei", 1, 1 << 60},
		{"1k", 1, 1000},
		{"1M", 1, 1e6},
		{"1G", 1, 1e9},
		{"1T", 1, 1e12},
		{"1P", 1, 1e15},
		{"1E", 1, 1e18},
		{"1e3", 1, 1000},
		{"1E3", 1, 1000},
		{"1e+3", 1, 1000},
		{"2500e-3", 1, 3},
		{"1n", 1, 1},
		{"18446744073709551615", 1, math.MaxUint64},
	}
	for _, tt := range tests {
		got, err := ParseQuantity(tt.text, tt.scale)
		if err != nil || got != tt.want {
			t.Errorf("ParseQuantity(%q, %d) = %d, %v, want %d", tt.text, tt.scale, got, err, tt.want)
		}
	}
}

func TestParseQuantityFaults(t *testing.T) {
	for _, text := range []string{
		"", " ", "x", "-1", "--1", "1 Gi", " 1", "1 ", "1,5", "1.2.3", ".", "+", "m", "Gi", "1gi", "1GiB", "1MB", "1KI", "1K",
		"1e", "1e1.5", "1ee3", "1e31", "1e-31", "1e999999999", "0x10", "1_000", "١", "1\n", "inf", "NaN", "16Ei",
		"18446744073709551616", "20e18", "99999999999999999999999999999999999",
	} {
		if got, err := ParseQuantity(text, 1); status.ReasonOf(err) != "manifest.quantity" || got != 0 {
			t.Errorf("ParseQuantity(%q) = %d, %v", text, got, err)
		}
	}
	if _, err := ParseQuantity("16Ei", 1000); err == nil {
		t.Error("an overflow by the scale is accepted")
	}
}
