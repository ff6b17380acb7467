package strictjson

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"apocryph/proto/nearest"
)

var (
	valueType       = reflect.TypeFor[Value]()
	rawType         = reflect.TypeFor[json.RawMessage]()
	numberType      = reflect.TypeFor[json.Number]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decode stores v in dst as far as it fits, and notes what does not.
func (d *decoder) decode(v *Value, dst reflect.Value) {
	t := dst.Type()
	if t == valueType {
		dst.Set(reflect.ValueOf(*v))
		return
	}
	if t.Kind() == reflect.Pointer && !implements(t.Elem()) && v.Kind != Null {
		if dst.IsNil() {
			dst.Set(reflect.New(t.Elem()))
		}
		d.decode(v, dst.Elem())
		return
	}
	if t.Kind() == reflect.Struct && !implements(t) {
		d.object(v, dst)
		return
	}
	before := len(d.faults)
	d.check(v, t)
	if len(d.faults) > before || before == maxFaults {
		return
	}
	if t.Kind() == reflect.Slice && v.Kind == List && byElement(t.Elem()) {
		dst.Set(reflect.MakeSlice(t, len(v.Elems), len(v.Elems)))
		for i := range v.Elems {
			d.decode(&v.Elems[i], dst.Index(i))
		}
		return
	}
	if t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && !implements(t.Key()) && byElement(t.Elem()) {
		dst.Set(reflect.MakeMapWithSize(t, len(v.Members)))
		for i := range v.Members {
			e := reflect.New(t.Elem()).Elem()
			d.decode(&v.Members[i].Value, e)
			dst.SetMapIndex(reflect.ValueOf(v.Members[i].Name).Convert(t.Key()), e)
		}
		return
	}
	if err := json.Unmarshal(v.raw, dst.Addr().Interface()); err != nil {
		d.refuse(v, "a value that does not fit", wanted(t))
	}
}

// implements reports whether a pointer to t reads itself.
func implements(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshalerType) || p.Implements(textType)
}

// byElement reports whether elements are stored one by one, since encoding/json
// does not know Value, which may be anywhere in a struct.
func byElement(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !implements(t)
}

// fields are the members that a struct takes, by json name.
func fields(t reflect.Type) (names []string, at map[string][]int) {
	at = map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Tag.Get("json") == "-", !f.IsExported(), f.Anonymous && name == "":
			continue
		case name == "":
			name = f.Name
		}
		names = append(names, name)
		at[name] = f.Index
	}
	return names, at
}

func (d *decoder) object(v *Value, dst reflect.Value) {
	if v.Kind != Object {
		d.refuse(v, v.Kind.String(), "an object")
		return
	}
	names, at := fields(dst.Type())
	for i := range v.Members {
		m := &v.Members[i]
		if field, ok := at[m.Name]; ok {
			d.decode(&m.Value, dst.FieldByIndex(field))
			continue
		}
		d.unknown(&m.Value, m.Name, names)
	}
}

// Unknown describes a member that is none of names, as Got and Want of a fault.
func Unknown(name string, names []string) (got, want string) {
	got = "unknown field " + strconv.Quote(printable(name, maxToken/2))
	if near := nearest.Name(name, names); near != "" {
		return got + ", did you mean " + strconv.Quote(near) + "?", ""
	}
	if len(names) == 0 {
		return got, "no fields"
	}
	return got, "one of " + strings.Join(names, ", ")
}

func (d *decoder) unknown(v *Value, name string, names []string) {
	got, want := Unknown(name, names)
	d.refuse(v, got, want)
}

// check notes what keeps v from being a t.
func (d *decoder) check(v *Value, t reflect.Type) {
	switch {
	case t == valueType, t == rawType:
		return
	case t == numberType:
		d.want(v, Number, t)
		return
	case implements(t):
		if err := json.Unmarshal(v.raw, reflect.New(t).Interface()); err != nil {
			d.refuse(v, v.Kind.String(), wanted(t))
		}
		return
	}
	switch t.Kind() {
	case reflect.Interface:
		return
	case reflect.Pointer:
		if v.Kind != Null {
			d.check(v, t.Elem())
		}
	case reflect.Struct:
		d.object(v, reflect.New(t).Elem())
	case reflect.Map:
		if d.want(v, Object, t) {
			for i := range v.Members {
				d.check(&v.Members[i].Value, t.Elem())
			}
		}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice {
			d.want(v, String, t)
		} else if d.want(v, List, t) {
			for i := range v.Elems {
				d.check(&v.Elems[i], t.Elem())
			}
		}
	case reflect.String:
		d.want(v, String, t)
	case reflect.Bool:
		d.want(v, Bool, t)
	default:
		d.number(v, t)
	}
}

func (d *decoder) want(v *Value, k Kind, t reflect.Type) bool {
	if v.Kind != k {
		d.refuse(v, v.Kind.String(), wanted(t))
	}
	return v.Kind == k
}

// number checks the range as encoding/json does: by the digits, so that 1.0 and
// 1e3 are no whole numbers.
func (d *decoder) number(v *Value, t reflect.Type) {
	if !d.want(v, Number, t) {
		return
	}
	var err error
	switch k := t.Kind(); {
	case slices.Contains([]reflect.Kind{reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64}, k):
		_, err = strconv.ParseInt(v.Text, 10, t.Bits())
	case k == reflect.Float32 || k == reflect.Float64:
		_, err = strconv.ParseFloat(v.Text, t.Bits())
	case k >= reflect.Uint && k <= reflect.Uintptr:
		_, err = strconv.ParseUint(v.Text, 10, t.Bits())
	}
	if err != nil {
		d.refuse(v, printable(v.Text, 40), wanted(t))
	}
}

// wanted names what a Go type takes.
func wanted(t reflect.Type) string {
	if t == numberType {
		return "a number"
	}
	if implements(t) {
		return "a valid " + strings.ToLower(t.Name())
	}
	switch k := t.Kind(); {
	case k >= reflect.Int && k <= reflect.Int64:
		return fmt.Sprintf("a whole number from %d to %d", -1<<(t.Bits()-1), uint64(1)<<(t.Bits()-1)-1)
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "text in base64"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	case k == reflect.Map || k == reflect.Struct:
		return "an object"
	case k == reflect.Pointer:
		return wanted(t.Elem())
	}
	return "text"
}
