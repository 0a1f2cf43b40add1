package selector

import "slices"

// RepositoryPolicy is what holds for some repositories beside the rest of a
// [Policy]. Where the two disagree the safer one wins, except for KeepLast.
// Images without a tag have no repository.
type RepositoryPolicy struct {
	Name         string   // for people
	Repositories Patterns // without tags
	Keep         Patterns // with tags: archived before they go; empty: as elsewhere
	Protect      Patterns // with tags: stay
	KeepLast     *int     // in place of that of the Policy; nil: as elsewhere
	Until        Filters  // images that this does not select stay
}

// keepFlag stands before a pattern of --keep.
const keepFlag = "--keep "

func (p RepositoryPolicy) holdsFor(n name) bool {
	_, ok := p.Repositories.matchName(name{text: n.repo, canonical: n.canonical, repo: n.repo})
	return ok
}

func (p RepositoryPolicy) concerns(s subject) bool { return slices.ContainsFunc(s.tagged, p.holdsFor) }

// String is how reasons call the policy.
func (p RepositoryPolicy) String() string { return "policy " + p.Name }

// keeps reports whether anything says that an image is archived before it goes,
// and what that is.
func (p Policy) keeps(s subject) (by string, ok bool) {
	if pattern, _, ok := p.Keep.match(s); ok {
		return keepFlag + pattern, true
	}
	for _, repo := range p.Repositories {
		if pattern, _, ok := repo.Keep.match(s); ok {
			return "keep " + pattern + " of " + repo.String(), true
		}
	}
	return "", false
}

// saysKeep reports whether the policy of a name's repository says which images
// are archived.
func (p Policy) saysKeep(n name) bool {
	return slices.ContainsFunc(p.Repositories, func(repo RepositoryPolicy) bool {
		return !repo.Keep.Empty() && repo.holdsFor(n)
	})
}

func (p Policy) protectedByPolicies(s subject) []Reason {
	var why []Reason
	for _, repo := range p.Repositories {
		if pattern, _, ok := repo.Protect.match(s); ok {
			why = append(why, Reason{codeProtect, "matches protect " + pattern + " of " + repo.String()})
		}
	}
	return why
}

func (p Policy) youngerThanPolicies(c *candidate) []Reason {
	var why []Reason
	for _, repo := range p.Repositories {
		if !repo.concerns(c.subject) {
			continue
		}
		for _, text := range repo.Until.misses(c.image, c.subject) {
			why = append(why, Reason{codeFilter, text + " of " + repo.String()})
		}
	}
	return why
}

// keepLast is how many of the newest images of a repository stay. Of several
// policies the one that keeps most counts.
func (p Policy) keepLast(repository string) int {
	n, said := 0, false
	for _, repo := range p.Repositories {
		if repo.KeepLast != nil && repo.holdsFor(parseName(repository)) {
			n, said = max(n, *repo.KeepLast), true
		}
	}
	if said {
		return n
	}
	return p.KeepLast
}
