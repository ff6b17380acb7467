package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"apocryph/proto/status"
)

const healthTimes = "a time from 1s to 1h, in whole milliseconds"

func (v *validator) container(at string, c *Container) {
	v.ref(at+".image", c.Image.Ref)
	v.words(at+".command", c.Command)
	v.words(at+".args", c.Args)
	if c.WorkingDir != "" && !isCleanPath(c.WorkingDir) {
		v.addf(at+".workingDir", quoted(c.WorkingDir), `an absolute path without "." or ".."`)
	}
	v.env(at+".env", c.Env)
	v.resources(at+".resources", &c.Resources)
	if c.Health != nil {
		v.health(at+".health", c.Health)
	}
}

func (v *validator) ref(at, ref string) {
	if len(ref) > maxRef || !isText(ref, "") || ref != strings.TrimSpace(ref) {
		v.addf(at, quoted(ref), "a reference of at most %d bytes without blanks around it", maxRef)
	}
}

func (v *validator) words(at string, list []string) {
	if len(list) > MaxArgs {
		v.addf(at, fmt.Sprintf("%d words", len(list)), "at most %d", MaxArgs)
		return
	}
	for i, w := range list {
		if len(w) > MaxArg || !isText(w, "\n\r\t") {
			v.addf(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%d bytes", len(w)), "text of at most %d bytes without control characters", MaxArg)
		}
	}
}

// EnvFaults are what a manifest refuses of a variable. No fault repeats its value.
func EnvFaults(name, value string) []status.Fault {
	v := &validator{}
	v.env("env", []EnvVar{{Name: name, Value: value}})
	return v.faults
}

// env never repeats a value: it may be a secret.
func (v *validator) env(at string, list []EnvVar) {
	if len(list) > MaxEnv {
		v.addf(at, fmt.Sprintf("%d variables", len(list)), "at most %d", MaxEnv)
		return
	}
	for i, e := range list {
		field := fmt.Sprintf("%s[%d]", at, i)
		if !isEnvName(e.Name) {
			v.addf(field+".name", quoted(e.Name), "letters, digits, _, - and ., and no digit first")
		}
		if len(e.Value) > MaxEnvValue || !isText(e.Value, "\n\r\t") {
			v.addf(field+".value", fmt.Sprintf("%d bytes", len(e.Value)), "text of at most %d bytes without control characters", MaxEnvValue)
		}
		switch {
		case i == 0 || list[i-1].Name < e.Name:
		case list[i-1].Name == e.Name:
			v.addf(field+".name", quoted(e.Name)+" a second time", "each name once")
		default:
			v.addf(field+".name", quoted(e.Name)+" after "+quoted(list[i-1].Name), "variables sorted by name")
		}
	}
}

func (v *validator) resources(at string, r *Resources) {
	v.bound(at+".cpu", r.CPUMillis, minCPUMillis, MaxCPUMillis, "m")
	v.bound(at+".memory", r.MemoryBytes, minMemoryBytes, MaxMemoryBytes, " bytes")
	v.bound(at+".ephemeral-storage", r.EphemeralBytes, 0, MaxStorageBytes, " bytes")
	v.bound(at+".pids", r.PIDs, 1, MaxPIDs, "")
	if len(r.Extended) > MaxExtended {
		v.addf(at, fmt.Sprintf("%d extended resources", len(r.Extended)), "at most %d", MaxExtended)
		return
	}
	for i, e := range r.Extended {
		field := at + "." + e.Name
		if !isExtendedName(e.Name) {
			v.addf(at, quoted(e.Name), "a resource name such as nvidia.com/gpu")
			continue
		}
		v.bound(field, e.Count, 1, MaxCount, "")
		if i > 0 && r.Extended[i-1].Name >= e.Name {
			v.addf(field, quoted(e.Name)+" after "+quoted(r.Extended[i-1].Name), "each resource once, sorted by name")
		}
	}
}

func (v *validator) health(at string, h *Health) {
	kinds := 0
	if h.HTTP != nil {
		kinds++
		v.port(at+".http.port", h.HTTP.Port)
		if !cleanURLPath(h.HTTP.Path) {
			v.addf(at+".http.path", quoted(h.HTTP.Path), "a path of a URL that begins with /")
		}
	}
	if h.TCP != nil {
		kinds++
		v.port(at+".tcp", h.TCP.Port)
	}
	if len(h.Command) > 0 {
		kinds++
		v.words(at+".command", h.Command)
	}
	if kinds != 1 {
		v.addf(at, strconv.Itoa(kinds)+" kinds of check", "one of http, tcp and command")
	}
	v.duration(at+".interval", h.Interval)
	v.duration(at+".timeout", h.Timeout)
	v.duration(at+".start", h.Start)
	v.bound(at+".failures", uint64(h.Failures), 1, maxHealthFailures, "")
}

func (v *validator) port(at string, port uint16) {
	if port == 0 {
		v.addf(at, "0", "a port from 1 to 65535")
	}
}

func (v *validator) duration(at string, d time.Duration) {
	if d < minHealthTime || d > maxHealthTime || d%time.Millisecond != 0 {
		v.addf(at, d.String(), healthTimes)
	}
}
