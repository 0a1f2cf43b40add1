// Package signing makes and checks the signatures of records: SSH signatures,
// the format that ssh-keygen -Y sign writes and ssh-keygen -Y verify reads
// (OpenSSH's PROTOCOL.sshsig), in the namespace [Namespace].
package signing

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Namespace keeps a signature that was made for something else from being
// taken for one of a record, and the other way round.
const Namespace = "archprune"

// What can be wrong with a signature.
var (
	ErrUnsigned  = errors.New("not signed")
	ErrUntrusted = errors.New("signed with a key that is not trusted")
	ErrForged    = errors.New("signature does not fit") // or can't be read
)

// Key names a key to people.
type Key struct {
	Fingerprint string // such as SHA256:..., as ssh-keygen -l shows it
	Comment     string // may be empty
}

// String is the fingerprint, with the comment where there is one.
func (k Key) String() string {
	if k.Comment == "" {
		return k.Fingerprint
	}
	return fmt.Sprintf("%s (%s)", k.Fingerprint, k.Comment)
}

func nameOf(public ssh.PublicKey) Key { return Key{Fingerprint: ssh.FingerprintSHA256(public)} }

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// minRSABits is what OpenSSH and NIST ask for.
const minRSABits = 2048

// typeDSA is how such a key calls itself; the library means to forget it.
const typeDSA = "ssh-dss"

var errDSA = errors.New("DSA keys are too weak: make a key by ssh-keygen -t ed25519")

// strong is an error for a key whose signatures prove little, or that is not a
// key itself.
func strong(public ssh.PublicKey) error {
	if _, ok := public.(*ssh.Certificate); ok {
		return errors.New("certificates are not taken here: give the plain key")
	}
	if public.Type() == typeDSA {
		return errDSA
	}
	if c, ok := public.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
			return fmt.Errorf("an RSA key of %d bits is too weak, want %d: make a key by ssh-keygen -t ed25519", k.N.BitLen(), minRSABits)
		}
	}
	return nil
}

// parse reads a signature and the key that it claims to be of.
func parse(signature []byte) (*sshsig.Signature, error) {
	if len(signature) == 0 {
		return nil, ErrUnsigned
	}
	s, err := sshsig.Unarmor(signature)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no SSH signature (%v)", ErrForged, err)
	}
	return s, nil
}

// fits checks that a signature is one of data by the key that it names.
func fits(data []byte, s *sshsig.Signature) error {
	err := sshsig.Verify(bytes.NewReader(data), s, s.PublicKey, s.HashAlgorithm, Namespace)
	switch {
	case errors.Is(err, sshsig.ErrNamespaceMismatch):
		return fmt.Errorf("%w: it was made for %q, not for %q", ErrForged, s.Namespace, Namespace)
	case err != nil:
		return fmt.Errorf("%w: what it signed is not this", ErrForged)
	}
	return nil
}

// maxKeyFile bounds what is read of a file of keys, in bytes.
const maxKeyFile = 1 << 20

func readKeyFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s: too long for a file of keys", name)
	}
	return data, err
}

// isPrivate tells the private keys of all tools by what they have in common.
func isPrivate(data []byte) bool { return bytes.Contains(data, []byte("PRIVATE KEY-----")) }
