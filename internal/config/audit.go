package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Audit says how the files of the audit log are kept. Its main file is audit_file.
type Audit struct {
	Rotate AuditRotate `yaml:"rotate,omitempty" jsonschema_description:"When the log goes on in a new file. The files stay one chain."`
	Keep   AuditKeep   `yaml:"keep,omitempty" jsonschema_description:"When the oldest files are removed. Without it never. The log says what was removed, and what is left can still be verified."`
	Heads  AuditHeads  `yaml:"heads,omitempty" jsonschema_description:"How often the newest line is signed, and where the signed heads are written besides audit_file.heads."`
	Syslog *Syslog     `yaml:"syslog,omitempty" jsonschema_description:"A syslog receiver that gets every line, by TLS. Without it none."`
}

// Syslog is a syslog receiver that gets every line of the audit log (RFC 5424, RFC 5425).
type Syslog struct {
	Address    string            `yaml:"address" jsonschema_description:"host:port of the receiver, such as siem.contoso.com:6514. It has to speak syslog over TLS (RFC 5425)."`
	ServerName string            `yaml:"server_name,omitempty" jsonschema_description:"The name that its certificate has to have. Default the host of address."`
	CAFile     string            `yaml:"ca_file,omitempty" jsonschema_description:"The certificates in PEM that its certificate has to come from. Default those of the system."`
	Client     *CertificateFiles `yaml:"client_certificate,omitempty" jsonschema_description:"The certificate that the gateway shows to the receiver, where that asks for one."`
	Unsent     Size              `yaml:"unsent,omitempty" jsonschema:"type=string" jsonschema_description:"How much of the log is kept beyond audit.keep because the receiver has not had it. What is removed all the same is counted in the log. Default 1024MB."`

	// Roots and Certificates are what CAFile and Client name; nil for those of the system, and for none.
	Roots        *x509.CertPool    `yaml:"-"`
	Certificates []tls.Certificate `yaml:"-"`
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
	defaultUnsent     = Size(1024 << 20)
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
	if a.Syslog != nil {
		v.syslog(a.Syslog)
	}
}

func (v *validator) syslog(s *Syslog) {
	if err := checkAddress(s.Address, false); err != nil {
		v.wrong("audit.syslog.address", "%v", err)
	}
	host, _, _ := net.SplitHostPort(s.Address) // what is wrong with it has been said
	s.ServerName = cmp.Or(s.ServerName, host)
	s.Unsent = cmp.Or(s.Unsent, defaultUnsent)
	if s.CAFile = v.absolute(s.CAFile); s.CAFile != "" {
		content, err := os.ReadFile(s.CAFile)
		s.Roots = x509.NewCertPool()
		if err != nil {
			v.wrong("audit.syslog.ca_file", "%v", v.fileError(err))
		} else if !s.Roots.AppendCertsFromPEM(content) {
			v.wrong("audit.syslog.ca_file", "there is no certificate in PEM in %s", v.shown(s.CAFile))
		}
	}
	if s.Client != nil {
		s.Client.Cert, s.Client.Key = v.absolute(s.Client.Cert), v.absolute(s.Client.Key)
		pair, err := tls.LoadX509KeyPair(s.Client.Cert, s.Client.Key)
		if err != nil {
			v.wrong("audit.syslog.client_certificate", "%v", v.fileError(err))
		}
		s.Certificates = []tls.Certificate{pair}
	}
}
