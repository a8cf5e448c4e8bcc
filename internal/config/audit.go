package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"time"
)

// Audit says how the files of the audit log are kept. Its main file is audit_file.
type Audit struct {
	Rotate AuditRotate `yaml:"rotate,omitempty" jsonschema_description:"When the log goes on in a new file. The files stay one chain."`
	Keep   AuditKeep   `yaml:"keep,omitempty" jsonschema_description:"When the oldest files are removed. Without it never. The log says what was removed, and what is left can still be verified."`
	Heads  AuditHeads  `yaml:"heads,omitempty" jsonschema_description:"How often the newest line is signed, and where the signed heads are written besides audit_file.heads."`
}

// AuditRotate says when the audit log goes on in a new file.
type AuditRotate struct {
	Size Size     `yaml:"size,omitempty" jsonschema:"type=string" jsonschema_description:"When the file has this size. Default 256MB."`
	Age  Duration `yaml:"age,omitempty" jsonschema:"type=string" jsonschema_description:"When its first line is this old. Default 31d."`
}

// AuditKeep says when the oldest files of the audit log are removed. Zero is never.
type AuditKeep struct {
	Size Size     `yaml:"size,omitempty" jsonschema:"type=string" jsonschema_description:"When all files together are larger than this, such as 20480MB."`
	Age  Duration `yaml:"age,omitempty" jsonschema:"type=string" jsonschema_description:"When their last line is older than this, such as 400d."`
}

// AuditHeads says how often the audit log is signed.
type AuditHeads struct {
	Every  Duration `yaml:"every,omitempty" jsonschema:"type=string" jsonschema_description:"How often, where there are new lines. It is also signed at the start, at the stop, and when a file is closed. Default 15m."`
	Copies []string `yaml:"copies,omitempty" jsonschema_description:"Files to which every signed head is written as well: on another machine, or where nothing can be changed afterwards. One head that was kept elsewhere shows whether the log was set back or written anew."`
}

const (
	defaultRotateSize = Size(256 << 20)
	defaultRotateAge  = Duration(31 * 24 * time.Hour)
	defaultHeadsEvery = Duration(15 * time.Minute)
	// minRotateSize keeps a slip from making a file of each line.
	minRotateSize = Size(64 << 10)
)

func (v *validator) audit() {
	a := &v.config.Audit
	a.Rotate.Size = cmp.Or(a.Rotate.Size, defaultRotateSize)
	a.Rotate.Age = cmp.Or(a.Rotate.Age, defaultRotateAge)
	a.Heads.Every = cmp.Or(a.Heads.Every, defaultHeadsEvery)
	if a.Rotate.Size < minRotateSize {
		v.wrong("audit.rotate.size", "%s is less than %s: there would be too many files", a.Rotate.Size, minRotateSize)
	}
	if a.Keep.Size > 0 && a.Keep.Size < 2*a.Rotate.Size {
		v.wrong("audit.keep.size", "%s has no room for two files of audit.rotate.size, which is %s", a.Keep.Size, a.Rotate.Size)
	}
	if a.Keep.Age > 0 && a.Keep.Age < a.Rotate.Age {
		v.wrong("audit.keep.age", "it is less than audit.rotate.age: a file would have lines that are older before it is closed")
	}
	for i := range a.Heads.Copies {
		copied := &a.Heads.Copies[i]
		if *copied = v.absolute(*copied); *copied == "" || filepath.Clean(*copied) == v.config.AuditFile || filepath.Clean(*copied) == v.config.AuditFile+".heads" {
			v.wrong(fmt.Sprintf("audit.heads.copies[%d]", i), "want a file of its own, on another disk or machine if possible")
		}
	}
}
