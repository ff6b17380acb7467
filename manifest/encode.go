package manifest

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// appendCanonical appends m with its fields in ascending order and without
// defaults. The protobuf library does not promise an order, even when told to
// be deterministic, and writes the members of a oneof last; a digest cannot
// depend on that. Text must be UTF-8.
func appendCanonical(b []byte, m protoreflect.Message) []byte {
	fields := m.Descriptor().Fields()
	for _, num := range ascending(fields) {
		f := fields.ByNumber(num)
		switch {
		case !m.Has(f):
		case f.IsList():
			list := m.Get(f).List()
			for i := range list.Len() {
				b = appendField(b, f, list.Get(i))
			}
		default:
			b = appendField(b, f, m.Get(f))
		}
	}
	return b
}

// ascending returns the numbers of the fields in order: a descriptor has them
// in the order of the .proto file.
func ascending(fields protoreflect.FieldDescriptors) []protoreflect.FieldNumber {
	out := make([]protoreflect.FieldNumber, fields.Len())
	for i := range out {
		out[i] = fields.Get(i).Number()
	}
	slices.Sort(out)
	return out
}

// appendField knows the kinds of value that a manifest has: messages, text and
// varints. A test proves that there is no other.
func appendField(b []byte, f protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch f.Kind() {
	case protoreflect.MessageKind:
		b = protowire.AppendTag(b, f.Number(), protowire.BytesType)
		return protowire.AppendBytes(b, appendCanonical(nil, v.Message()))
	case protoreflect.StringKind:
		b = protowire.AppendTag(b, f.Number(), protowire.BytesType)
		return protowire.AppendString(b, v.String())
	case protoreflect.BoolKind:
		b = protowire.AppendTag(b, f.Number(), protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		b = protowire.AppendTag(b, f.Number(), protowire.VarintType)
		return protowire.AppendVarint(b, uint64(v.Enum()))
	}
	b = protowire.AppendTag(b, f.Number(), protowire.VarintType)
	return protowire.AppendVarint(b, v.Uint())
}
