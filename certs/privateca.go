package certs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

const (
	// rootLife is how long the root of a private CA lasts: it is put into devices by hand, and nobody walks to them twice.
	// One that is made now ends before 2038, which some of them do not know.
	rootLife = 10 * 365 * 24 * time.Hour
	// rootName is where a vault keeps the root and its key; certificates are below leafFolder.
	rootName   = "private-ca/root"
	leafFolder = "private-ca/leaf"
)

// PrivateCA is a certification authority for networks that have none, kept in a [Vault]. Its root is made when it is first
// needed. Devices that verify certificates have the root installed; the certificates of listeners come from it and are
// renewed by themselves. It is safe for concurrent use.
//
// The root's key is RSA, since devices that know nothing else have to verify what it signs; it is bound to the domains of the
// names that it was made for and to private networks, so that a stolen one opens nothing else.
type PrivateCA struct {
	vault   Vault
	names   []string
	created func(Info) error
	now     func() time.Time
}

// NewPrivateCA gives the private CA of a vault. names are all that its certificates are for, the gateway's domain first: a new
// root is bound to them. created hears of a new root before it is kept; if it fails, the root is not.
func NewPrivateCA(vault Vault, names []string, created func(Info) error) *PrivateCA {
	return &PrivateCA{vault: vault, names: slices.Clone(names), created: created, now: time.Now}
}

// String names the CA for people.
func (p *PrivateCA) String() string { return "private CA" }

// Root gives the CA's root, and makes it where there is none.
func (p *PrivateCA) Root(ctx context.Context) (*Authority, error) {
	root, err := p.load(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	return p.make(ctx, false)
}

// Replace makes a new root in the place of the one there is. Devices that trust the old one have to be given the new one:
// from the next look on, listeners show certificates of it.
func (p *PrivateCA) Replace(ctx context.Context) (*Authority, error) { return p.make(ctx, true) }

// Look gives the root if there is one, and makes none.
func (p *PrivateCA) Look(ctx context.Context) (Info, error) {
	root, err := p.load(ctx)
	if err != nil {
		return Info{}, err
	}
	return Describe(root.root, p), nil
}

func (p *PrivateCA) load(ctx context.Context) (*Authority, error) {
	item, err := p.vault.Load(ctx, rootName)
	if err != nil {
		return nil, fmt.Errorf("root of the private CA: %w", err)
	}
	pair, err := tls.X509KeyPair(item.Content, item.Content)
	if err != nil {
		return nil, fmt.Errorf("root of the private CA: %w", err)
	}
	return &Authority{now: p.now, root: pair.Leaf, key: pair.PrivateKey.(crypto.Signer)}, nil
}

// make makes a root, unless another process was quicker or it is to replace what there is.
func (p *PrivateCA) make(ctx context.Context, replace bool) (*Authority, error) {
	unlock, err := p.vault.Lock(ctx, rootName)
	if err != nil {
		return nil, fmt.Errorf("making the root of the private CA: %w", err)
	}
	defer unlock()
	if !replace {
		if root, err := p.load(ctx); !errors.Is(err, fs.ErrNotExist) {
			return root, err
		}
	}
	root, content, err := newRoot(p.names, p.now)
	if err == nil {
		err = p.created(Describe(root.root, p))
	}
	if err == nil {
		err = p.vault.Store(ctx, rootName, content)
	}
	if err != nil {
		return nil, fmt.Errorf("making the root of the private CA: %w", err)
	}
	return root, nil
}

// newRoot makes a root for names, and what a vault keeps of it: the certificate and the key, in PEM.
func newRoot(names []string, now func() time.Time) (*Authority, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, nil, err
	}
	name := pkix.Name{CommonName: "Postern CA " + now().UTC().Format(time.DateOnly)}
	if len(names[0]) <= maxCommonName { // an organization's name may have as many
		name.Organization = []string{names[0]}
	}
	template := rootTemplate(name, now(), rootLife)
	// RFC 5280 section 4.2.1.10 wants constraints marked as critical. Devices that do not know them would then refuse the
	// root; so it says them to those who do.
	template.PermittedDNSDomains, template.PermittedIPRanges = permitted(names)
	root, err := selfSign(template, key, now)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := privateKeyPEM(key)
	return root, append(root.RootPEM(), keyPEM...), err
}

// permitted gives what a root for names may vouch for: their domains, addresses of private networks, and addresses that
// they name.
func permitted(names []string) (domains []string, networks []*net.IPNet) {
	for _, n := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"} {
		_, network, _ := net.ParseCIDR(n) // a constant
		networks = append(networks, network)
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			if !slices.ContainsFunc(networks, func(n *net.IPNet) bool { return n.Contains(ip) }) {
				networks = append(networks, single(ip))
			}
			continue
		}
		name = strings.TrimPrefix(name, "*.")
		if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
			name = domain
		}
		if !slices.Contains(domains, name) {
			domains = append(domains, name)
		}
	}
	return domains, networks
}

// single gives the network of one address.
func single(ip net.IP) *net.IPNet {
	if four := ip.To4(); four != nil {
		return &net.IPNet{IP: four, Mask: net.CIDRMask(32, 32)}
	}
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)}
}

// vouches says why a root cannot vouch for a certificate of its own: it is for names outside of its domains.
func vouches(root *Authority, leaf *x509.Certificate) error {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: root.Roots(), CurrentTime: leaf.NotBefore.Add(skew)})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName {
		return fmt.Errorf("its root may vouch for %s and private networks alone, and %s is more than that: postern certificate root --replace makes another, which devices then have to be given",
			strings.Join(root.root.PermittedDNSDomains, ", "), nameList(leaf))
	}
	return err
}
