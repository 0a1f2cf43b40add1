package registrytest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	tokenIssuer  = "test issuer"
	tokenService = "test registry"
	tokenLife    = time.Minute
)

// tokenServer gives out tokens for whatever scope is asked for, to who knows
// the password.
type tokenServer struct {
	url  string
	root string // file of the certificate that the registry trusts
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	opts Options
}

func startTokenServer(t testing.TB, dir string, opts Options) *tokenServer {
	t.Helper()
	cert, key := certificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: tokenIssuer}}, nil, nil)
	s := &tokenServer{root: filepath.Join(dir, "token.pem"), key: key, cert: cert, opts: opts}
	writePEM(t, s.root, "CERTIFICATE", cert.Raw)
	server := httptest.NewUnstartedServer(s)
	if opts.TLS {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	s.url = server.URL + "/token"
	return s
}

func (s *tokenServer) yaml() string {
	return fmt.Sprintf("auth:\n  token:\n    realm: %s\n    service: %s\n    issuer: %s\n    rootcertbundle: %s\n",
		s.url, tokenService, tokenIssuer, s.root)
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); user != s.opts.User || password != s.opts.Password {
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}`, http.StatusUnauthorized)
		return
	}
	token, err := s.token(req.URL.Query()["scope"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": int(tokenLife.Seconds())})
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// token is a JSON web token as the specification of Docker's token
// authentication describes it.
func (s *tokenServer) token(scopes []string) (string, error) {
	var grants []access
	for _, scope := range scopes {
		for _, one := range strings.Fields(scope) {
			if parts := strings.Split(one, ":"); len(parts) == 3 {
				grants = append(grants, access{parts[0], parts[1], strings.Split(parts[2], ",")})
			}
		}
	}
	now := time.Now()
	header := map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert.Raw)}}
	claims := map[string]any{"iss": tokenIssuer, "aud": tokenService, "sub": s.opts.User, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(tokenLife).Unix(), "access": grants}
	signed, err := encodeParts(header, claims)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(s.sign(sum[:])), nil
}

func encodeParts(parts ...any) (string, error) {
	encoded := make([]string, len(parts))
	for i, p := range parts {
		data, err := json.Marshal(p)
		if err != nil {
			return "", err
		}
		encoded[i] = base64.RawURLEncoding.EncodeToString(data)
	}
	return strings.Join(encoded, "."), nil
}

// sign makes a signature in the form of RFC 7518, section 3.4.
func (s *tokenServer) sign(sum []byte) []byte {
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum)
	if err != nil {
		panic(err) // the key is a good one
	}
	out := make([]byte, 64)
	fill(out[:32], r)
	fill(out[32:], v)
	return out
}

func fill(b []byte, n *big.Int) { n.FillBytes(b) }
