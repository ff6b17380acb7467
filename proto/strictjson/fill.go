package strictjson

import (
	"fmt"
	"reflect"
)

// Fill stores a tree that came from elsewhere than JSON text, such as a YAML
// file, in the value that into points to. The error and the panic are those of
// [Decode].
func Fill(root *Value, into any) error {
	dst := reflect.ValueOf(into)
	if dst.Kind() != reflect.Pointer || dst.IsNil() {
		panic(fmt.Sprintf("strictjson: filling %T", into))
	}
	var d decoder
	d.decode(root, dst.Elem())
	return d.err()
}
