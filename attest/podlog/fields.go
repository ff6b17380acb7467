package podlog

// The order of the calls is the order on the wire, for both directions.

func (e *AgentStart) fields(c *coder) {
	c.time("at", &e.At)
	c.text("version", &e.Version)
	c.digest("binary", &e.Binary)
	c.text("provider", &e.Provider)
	c.bytes("boot_epoch", &e.BootEpoch, maxEpoch)
	c.digest("keys", &e.Keys)
}

func (e *Config) fields(c *coder) {
	c.time("at", &e.At)
	c.text("name", &e.Name)
	c.digest("effective", &e.Effective)
	c.text("storage", &e.Storage)
	c.texts("access_paths", &e.AccessPaths)
}

func (e *Ready) fields(c *coder) { c.time("at", &e.At) }

func (e *PodCreate) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.number("revision", &e.Revision)
	c.text("publisher", &e.Publisher)
	c.digest("manifest", &e.Manifest)
}

func (e *ImageExec) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.text("instance", &e.Instance)
	c.text("container", &e.Container)
	c.text("cid", &e.CID)
	c.digest("image_id", &e.ImageID)
	c.digest("args", &e.Args)
	c.digest("env", &e.Env)
	c.digest("mounts", &e.Mounts)
	c.digest("capabilities", &e.Capabilities)
}

func (e *KeyRelease) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.number("revision", &e.Revision)
	c.digest("claims", &e.Claims)
	c.digest("manifest", &e.Manifest)
	c.texts("containers", &e.Containers)
}

func (e *PodStart) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.number("revision", &e.Revision)
	c.text("instance", &e.Instance)
}

func (e *PodStop) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.number("revision", &e.Revision)
	c.text("instance", &e.Instance)
	c.text("cause", &e.Cause)
}

func (e *BuildDone) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.text("source", &e.Source)
	c.digest("image_id", &e.ImageID)
	c.text("cid", &e.CID)
	c.digest("provenance", &e.Provenance)
}

func (e *ExecAttempt) fields(c *coder) {
	c.time("at", &e.At)
	c.text("pod_id", &e.PodID)
	c.text("instance", &e.Instance)
	c.text("container", &e.Container)
	c.text("by", &e.By)
	c.digest("command", &e.Command)
	c.flag("allowed", &e.Allowed)
	c.number("count", &e.Count)
}
