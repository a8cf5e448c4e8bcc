package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"postern/internal/secret"
)

// credentialPEM makes a self-signed certificate of a key, and gives its PEM with the key, and its DER.
func credentialPEM(t *testing.T, public, private any) (string, []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Postern"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return string(append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)), der
}

func TestClientSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		t.Setenv("MSAL_FORCE_REGION", "westeurope") // would lead MSAL to other hosts
		h.mustUse(appAccount)
		form := h.entra.forms[0]
		if form.Get("client_secret") != secretMark+"-client" || form.Get("client_id") != clientID || !strings.Contains(form.Get("scope"), appScope) {
			t.Errorf("got form %v", form)
		}
		h.wantEvents("token-refreshed")
	})
}

// TestClientCertificate checks the assertion as Entra does (reference F.2).
func TestClientCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		text, der := credentialPEM(t, &key.PublicKey, key)
		h.source = h.newSourceAs(MicrosoftConfig{ClientCertificate: secret.New(text)})
		h.mustUse(appAccount)
		form := h.entra.forms[0]
		if form.Has("client_secret") {
			t.Error("a secret was sent")
		}
		token, err := jwt.Parse(form.Get("client_assertion"), func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
			jwt.WithValidMethods([]string{"PS256"}), jwt.WithIssuer(clientID), jwt.WithSubject(clientID), jwt.WithExpirationRequired(),
			jwt.WithAudience("https://localhost/"+tenantDomain+"/oauth2/v2.0/token"))
		if err != nil {
			t.Fatal(err)
		}
		thumbprint := sha256.Sum256(der)
		if got := token.Header["x5t#S256"]; got != base64.StdEncoding.EncodeToString(thumbprint[:]) {
			t.Errorf("got thumbprint %v", got)
		}
	})
}

func TestApplicationWithoutCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.source = h.newSourceAs(MicrosoftConfig{})
		_, err := h.use(appAccount)
		if failed := h.wantClass(err, Misconfigured); !strings.Contains(failed.Advice, "client_secret_file") {
			t.Errorf("got advice %q, want the setting in it", failed.Advice)
		}
		h.wantCalls(0)
	})
}

func TestSettingsThatCannotWork(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPEM, _ := credentialPEM(t, &ec.PublicKey, ec)
	for name, test := range map[string]struct {
		config MicrosoftConfig
		want   string
	}{
		"no authority":       {MicrosoftConfig{ClientID: "x"}, "authority"},
		"plain http":         {MicrosoftConfig{Authority: "http://localhost/t", ClientID: "x"}, "must be https"},
		"no tenant":          {MicrosoftConfig{Authority: "https://localhost/", ClientID: "x"}, "the tenant"},
		"a longer path":      {MicrosoftConfig{Authority: "https://localhost/t/v2.0", ClientID: "x"}, "the tenant"},
		"another service":    {MicrosoftConfig{Authority: "https://localhost/adfs", ClientID: "x"}, "the tenant"},
		"no client id":       {MicrosoftConfig{Authority: "https://localhost/t"}, "client id"},
		"two credentials":    {MicrosoftConfig{Authority: "https://localhost/t", ClientID: "x", ClientSecret: secret.New("a"), ClientCertificate: secret.New("b")}, "keep one"},
		"no certificate":     {MicrosoftConfig{Authority: "https://localhost/t", ClientID: "x", ClientCertificate: secret.New(secretMark)}, "client certificate"},
		"an elliptic key":    {MicrosoftConfig{Authority: "https://localhost/t", ClientID: "x", ClientCertificate: secret.New(ecPEM)}, "RSA"},
		"a user in the URL":  {MicrosoftConfig{Authority: "https://u:p@localhost/t", ClientID: "x"}, "authority"},
		"a query in the URL": {MicrosoftConfig{Authority: "https://localhost/t?x=1", ClientID: "x"}, "authority"},
	} {
		_, err := NewMicrosoft(test.config)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secretMark) {
			t.Errorf("%s: got error %v, want %q in it", name, err, test.want)
		}
	}
}
