package manifest_test

import (
	"errors"
	"fmt"

	"apocryph/manifest"
	"apocryph/proto/status"
)

func ExampleParseFile() {
	m, err := manifest.ParseFile([]byte(`
name: hello
containers:
  - image: oci:hello
    command: /bin/hello --greeting 'good day'
    port: 8080
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	c := m.Containers[0]
	fmt.Printf("%s %q %d/%s\n", c.Name, c.Command, c.Ports[0].TargetPort, c.Ports[0].Protocol)
	fmt.Println(c.Resources.CPUMillis, "millicores,", c.Resources.MemoryBytes, "bytes")
	// Output:
	// hello ["/bin/hello" "--greeting" "good day"] 8080/http
	// 500 millicores, 268435456 bytes
}

func ExampleParseFile_faults() {
	_, err := manifest.ParseFile([]byte("name: Hello\ncontainers:\n  - imgae: oci:hello\n    port: http\n"))
	var e *status.Error
	if errors.As(err, &e) {
		for _, f := range e.Faults {
			fmt.Println(f)
		}
	}
	// Output:
	// line 1: name: got "Hello", want a DNS label in lower case of at most 40 characters
	// line 3: containers[0].imgae: got unknown field "imgae", did you mean "image"?
	// line 3: containers[0].image: got nothing, want a value: it is required
	// line 4: containers[0].port: got "http", want a number from 1 to 65535
}
