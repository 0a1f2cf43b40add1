package signing

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signer signs with one key.
type Signer struct {
	public ssh.PublicKey
	sign   func(data []byte) (*sshsig.Signature, error)
}

// SignerOptions are the ways to a key that a file does not give by itself.
type SignerOptions struct {
	// Passphrase is asked where a private key is encrypted; nil is no answer.
	Passphrase func() ([]byte, error)
	// Agent is the socket of an ssh-agent, which signs where the file is a
	// public key; may be empty.
	Agent string
}

// NewSigner reads a private key file of OpenSSH (or any PEM that ssh-keygen
// reads), or a public key file whose private half an ssh-agent has. Errors name
// the file and what to do.
func NewSigner(path string, opts SignerOptions) (*Signer, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	if !isPrivate(data) {
		return newAgentSigner(path, opts.Agent)
	}
	if err := closed(path); err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(data)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		key, err = decrypt(path, data, opts.Passphrase)
	}
	if err != nil {
		return nil, unusable(path, err)
	}
	if err := strong(key.PublicKey()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Signer{public: key.PublicKey(), sign: func(data []byte) (*sshsig.Signature, error) { return signWith(key, data) }}, nil
}

// ErrNoPassphrase means that nobody was there to say a key's passphrase.
var ErrNoPassphrase = errors.New("the key is encrypted and there is nobody to ask for its passphrase")

func decrypt(path string, data []byte, ask func() ([]byte, error)) (ssh.Signer, error) {
	if ask == nil {
		return nil, ErrNoPassphrase
	}
	passphrase, err := ask()
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return ssh.ParsePrivateKeyWithPassphrase(data, passphrase)
}

// unusable says what can be done about a private key that can't be read.
func unusable(path string, err error) error {
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return fmt.Errorf("%s: the passphrase is wrong", path)
	case errors.Is(err, ErrNoPassphrase):
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: the private key can't be used (%w): for a key on a security token give %s.pub and have ssh-agent hold it", path, err, path)
}

// Key is the key that signs.
func (s *Signer) Key() Key { return nameOf(s.public) }

// Trust believes what this signer signs, and nothing else.
func (s *Signer) Trust() *Trust {
	return &Trust{keys: []trusted{{Key: s.Key(), public: s.public}}}
}

// Sign returns the signature of data in the armoured form of ssh-keygen, which
// has been checked: an agent is another program.
func (s *Signer) Sign(data []byte) ([]byte, error) {
	signature, err := s.sign(data)
	if err == nil {
		err = fits(data, signature)
	}
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", s.Key(), err)
	}
	return sshsig.Armor(signature), nil
}

func signWith(key ssh.Signer, data []byte) (*sshsig.Signature, error) {
	return sshsig.Sign(bytes.NewReader(data), key, sshsig.HashSHA512, Namespace)
}
