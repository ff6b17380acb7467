package policy_test

import (
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
)

// changeEach calls f after each possible change of one value within v, and undoes it.
func changeEach(v reflect.Value, at string, f func(at string)) {
	with := func(x reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		v.Set(x)
		f(at)
		v.Set(old)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				changeEach(v.Field(i), at+"."+field.Name, f)
			}
		}
	case reflect.Pointer:
		if v.IsNil() {
			with(reflect.New(v.Type().Elem()))
			return
		}
		changeEach(v.Elem(), at, f)
		with(reflect.Zero(v.Type()))
	case reflect.Slice:
		with(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			changeEach(v.Index(i), at+"[]", f)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			value := v.MapIndex(k)
			v.SetMapIndex(k, reflect.Value{})
			f(at + "{}")
			v.SetMapIndex(k, value)
			if value.Kind() == reflect.Slice {
				changeEach(value.Index(0), at+"{}", f)
			}
		}
	case reflect.String:
		with(reflect.ValueOf(v.String() + "x").Convert(v.Type()))
	case reflect.Bool:
		with(reflect.ValueOf(!v.Bool()).Convert(v.Type()))
	case reflect.Int, reflect.Int64:
		with(reflect.ValueOf(v.Int() + 1).Convert(v.Type()))
	case reflect.Uint8:
		with(reflect.ValueOf(v.Uint() ^ 1).Convert(v.Type()))
	}
}

// TestChangedAfterParse changes every value of policies that were judged when
// they were read. No finding of then may count any more.
func TestChangedAfterParse(t *testing.T) {
	for name, text := range map[string]string{"snp": fullSNP, "tdx": fullTDX, "tpm": fullTPM, "soft": softPolicy} {
		p := parse(t, text)
		if !p.Unchanged() {
			t.Fatalf("%s: the finding does not count at once", name)
		}
		n := 0
		changeEach(reflect.ValueOf(p).Elem(), "policy", func(at string) {
			n++
			if p.Unchanged() {
				t.Errorf("%s: %s was changed and the finding counts", name, at)
			}
		})
		if n < 50 || !p.Unchanged() {
			t.Errorf("%s: %d changes were tried", name, n)
		}
	}
}

// TestChangedPolicyIsJudgedAnew looks at what an appraisal says of such a policy.
func TestChangedPolicyIsJudgedAnew(t *testing.T) {
	p := parse(t, fullSNP)
	before := p.Appraise(fullSNPResult(), now)
	if !before.Affirmed {
		t.Fatal(policy.SummaryLine(before))
	}
	other := *p
	other.Version++
	after := other.Appraise(fullSNPResult(), now)
	fresh := parse(t, string(other.Marshal())).Appraise(fullSNPResult(), now)
	if got, want := policyCheck(after.Checks), policyCheck(fresh.Checks); got != want || got == policyCheck(before.Checks) {
		t.Errorf("a copy with another version: got %q, want %q", got, want)
	}
	p.Reference[0].Measurement[0] = make([]byte, 48)
	if c, _ := p.Appraise(fullSNPResult(), now).Failed(); c.Code != policy.CodePolicyInvalid {
		t.Errorf("a measurement of zeros: got %+v", c)
	}
}

func policyCheck(checks []attest.Check) string {
	for _, c := range checks {
		if c.Code == policy.CodePolicyInvalid {
			return c.Got
		}
	}
	return ""
}

// TestAppraiseTogether is for the race detector.
func TestAppraiseTogether(t *testing.T) {
	p := parse(t, fullSNP)
	want := p.Appraise(fullSNPResult(), now)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if diff := cmp.Diff(want, p.Appraise(fullSNPResult(), now)); diff != "" {
				t.Error(diff)
			}
		})
	}
	all.Wait()
}
