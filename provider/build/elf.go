package build

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"

	"apocryph/proto/status"
)

// The parser reads the file header and the program headers and nothing else
// (System V ABI, chapters 4 and 5): what the kernel reads. debug/elf also reads
// sections, whose counts and sizes a stranger chooses.
const (
	elfMagic = "\x7fELF"
	// maxPrograms bounds the program headers; Linux takes at most 64 KiB of them.
	maxPrograms = 512
	// maxInterpreter is Linux's PATH_MAX, which bounds the interpreter's name.
	maxInterpreter = 4096
	// maxHead is how much of a file is read that can only be read in order.
	maxHead = 1 << 20
)

// executable is what an ELF file says of itself.
type executable struct {
	// arch is Go's word for it, or what the file says where there is none.
	arch string
	// text is for people: "ELF 64-bit aarch64".
	text string
	// interpreter is the absolute path of the dynamic linker, empty where none is needed.
	interpreter string
}

// machines are the architectures that Linux and Go both have.
var machines = map[elf.Machine]struct {
	arch, text string
	class      elf.Class
	order      elf.Data
}{
	elf.EM_X86_64:    {"amd64", "x86-64", elf.ELFCLASS64, elf.ELFDATA2LSB},
	elf.EM_AARCH64:   {"arm64", "aarch64", elf.ELFCLASS64, elf.ELFDATA2LSB},
	elf.EM_386:       {"386", "x86", elf.ELFCLASS32, elf.ELFDATA2LSB},
	elf.EM_ARM:       {"arm", "arm", elf.ELFCLASS32, elf.ELFDATA2LSB},
	elf.EM_RISCV:     {"riscv64", "riscv", elf.ELFCLASS64, elf.ELFDATA2LSB},
	elf.EM_PPC64:     {"ppc64le", "ppc64", elf.ELFCLASS64, elf.ELFDATA2LSB},
	elf.EM_S390:      {"s390x", "s390x", elf.ELFCLASS64, elf.ELFDATA2MSB},
	elf.EM_LOONGARCH: {"loong64", "loongarch", elf.ELFCLASS64, elf.ELFDATA2LSB},
}

func notExecutable(format string, args ...any) *status.Error {
	return status.New(status.InvalidArgument, "build.executable", "entry: got "+format+", want a Linux executable (ELF)", args...)
}

// parseELF reads an executable's headers; what it refuses it names.
func parseELF(r io.ReaderAt) (executable, error) {
	head := make([]byte, 64)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return executable{}, err
	}
	if n < 52 || string(head[:4]) != elfMagic {
		return executable{}, foreign(head[:n])
	}
	class, order := elf.Class(head[elf.EI_CLASS]), elf.Data(head[elf.EI_DATA])
	var bo binary.ByteOrder = binary.LittleEndian
	switch {
	case order == elf.ELFDATA2MSB:
		bo = binary.BigEndian
	case order != elf.ELFDATA2LSB:
		return executable{}, notExecutable("an ELF file of byte order %d", order)
	}
	if class != elf.ELFCLASS32 && class != elf.ELFCLASS64 || class == elf.ELFCLASS64 && n < 64 {
		return executable{}, notExecutable("a damaged ELF file")
	}
	if abi := elf.OSABI(head[elf.EI_OSABI]); abi != elf.ELFOSABI_NONE && abi != elf.ELFOSABI_LINUX {
		return executable{}, notExecutable("an ELF file for another system (%s)", abi)
	}
	if kind := elf.Type(bo.Uint16(head[16:])); kind != elf.ET_EXEC && kind != elf.ET_DYN {
		return executable{}, notExecutable("an ELF file that is no program (%s)", kind).WithHint("link the object file into a program")
	}
	machine := elf.Machine(bo.Uint16(head[18:]))
	bits := 64
	if class == elf.ELFCLASS32 {
		bits = 32
	}
	out := executable{arch: machine.String(), text: fmt.Sprintf("ELF %d-bit %s", bits, machine)}
	if m, ok := machines[machine]; ok {
		out.text = fmt.Sprintf("ELF %d-bit %s", bits, m.text)
		if m.class == class && m.order == order {
			out.arch = m.arch
		}
	}
	return out, out.programs(r, head, class, bo)
}

// programs reads the program headers: a program has something to load, and
// perhaps the name of its interpreter.
func (x *executable) programs(r io.ReaderAt, head []byte, class elf.Class, bo binary.ByteOrder) error {
	var (
		at          uint64
		size, count int
		want        = 56
	)
	if class == elf.ELFCLASS64 {
		at, size, count = bo.Uint64(head[32:]), int(bo.Uint16(head[54:])), int(bo.Uint16(head[56:]))
	} else {
		at, size, count, want = uint64(bo.Uint32(head[28:])), int(bo.Uint16(head[42:])), int(bo.Uint16(head[44:])), 32
	}
	if size != want || count == 0 || count > maxPrograms || at > 1<<40 {
		return notExecutable("an ELF file with %d program headers of %d bytes", count, size)
	}
	table := make([]byte, size*count)
	if err := readAt(r, table, at); err != nil {
		return err
	}
	loads := false
	for ; len(table) > 0; table = table[size:] {
		switch elf.ProgType(bo.Uint32(table)) {
		case elf.PT_LOAD:
			loads = true
		case elf.PT_INTERP:
			offset, length := uint64(bo.Uint32(table[4:])), uint64(bo.Uint32(table[16:]))
			if class == elf.ELFCLASS64 {
				offset, length = bo.Uint64(table[8:]), bo.Uint64(table[32:])
			}
			if length < 2 || length > maxInterpreter || offset > 1<<40 || x.interpreter != "" {
				return notExecutable("an ELF file whose interpreter's name has %d bytes", length)
			}
			name := make([]byte, length)
			if err := readAt(r, name, offset); err != nil {
				return err
			}
			text, end, _ := bytes.Cut(name, []byte{0})
			if len(end) != 0 || !path.IsAbs(string(text)) {
				return notExecutable("an ELF file with the interpreter %.80q", text)
			}
			x.interpreter = string(text)
		}
	}
	if !loads {
		return notExecutable("an ELF file with nothing to load")
	}
	return nil
}

// readAt fills b; a file that is too short is the uploader's fault.
func readAt(r io.ReaderAt, b []byte, at uint64) error {
	n, err := r.ReadAt(b, int64(at))
	if n == len(b) {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return notExecutable("an ELF file that is truncated")
}

// foreign names what is not ELF.
func foreign(head []byte) error {
	for _, k := range []struct{ magic, what, hint string }{
		{"#!", "a script", "an image without a shell cannot run it: upload an image with its interpreter (runtime image)"},
		{"MZ", "a Windows program", "build the program for linux"},
		{"\xcf\xfa\xed\xfe", "a macOS program", "build the program for linux"},
		{"\xce\xfa\xed\xfe", "a macOS program", "build the program for linux"},
		{"\xca\xfe\xba\xbe", "a macOS program or Java class", "build the program for linux, or upload an image"},
		{"\x00asm", "a WebAssembly module", "build the program for linux"},
		{"\x1f\x8b", "a gzip archive", "upload it as files, so that it is unpacked"},
		{"PK\x03\x04", "a zip archive", "upload it as files, so that it is unpacked"},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return notExecutable("%s", k.what).WithHint("%s", k.hint)
		}
	}
	return notExecutable("a file that begins with %.16q", head[:min(len(head), 8)])
}
