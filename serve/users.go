package serve

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Users are the users of an htpasswd file.
type Users struct {
	hashes map[string][]byte // by name
	nobody []byte            // compared with where there is no such user, so that it takes as long

	slots chan struct{} // bounds the comparisons at once: each keeps a core busy
	key   []byte
	mu    sync.Mutex
	known map[string][sha256.Size]byte // by name: the password that was right, under the key
}

// ReadUsers reads an htpasswd file, whose passwords must be hashed with bcrypt:
// 'htpasswd -B' writes them.
func ReadUsers(r io.Reader) (*Users, error) {
	u := &Users{hashes: map[string][]byte{}, known: map[string][sha256.Size]byte{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), key: make([]byte, sha256.Size)}
	rand.Read(u.key)
	cost := bcrypt.MinCost
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d: want USER:HASH", n)
		}
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil {
			return nil, fmt.Errorf("line %d: the password is not hashed with bcrypt: 'htpasswd -B' does it", n)
		}
		u.hashes[name], cost = []byte(hash), max(cost, c)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("it has no users: nobody could pull")
	}
	var err error
	u.nobody, err = bcrypt.GenerateFromPassword(u.key, cost)
	return u, err
}

// Know reports whether there is such a user with that password. It takes as
// long for a user that there is not; only a password that was right before is
// known at once.
func (u *Users) Know(name, password string) bool {
	mac := hmac.New(sha256.New, u.key)
	mac.Write([]byte(password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	u.mu.Lock()
	before, ok := u.known[name]
	u.mu.Unlock()
	if ok && hmac.Equal(before[:], sum[:]) {
		return true
	}
	hash, exists := u.hashes[name]
	if !exists {
		hash = u.nobody
	}
	u.slots <- struct{}{}
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	<-u.slots
	if !right || !exists {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[name] = sum
	return true
}
