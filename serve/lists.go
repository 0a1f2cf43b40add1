package serve

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// noTime asks the catalog for the newest.
var noTime time.Time

func (g *Registry) tags(w *answer, req *http.Request, name string) error {
	_, repo, err := g.lookAt(req.Context(), name)
	if err != nil {
		return err
	}
	tags, err := page(w, req, repo.tags)
	if err != nil {
		return err
	}
	return w.json(req, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, tags})
}

func (g *Registry) repositories(w *answer, req *http.Request) error {
	now, err := g.look(req.Context())
	if err != nil {
		return err
	}
	names, err := page(w, req, now.names())
	if err != nil {
		return err
	}
	return w.json(req, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// page is the part of a sorted list that the parameters n and last ask for. A
// Link header leads to the next.
func page(w *answer, req *http.Request, all []string) ([]string, error) {
	query := req.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(all, last)
		if found {
			i++
		}
		all = all[i:]
	}
	all = append([]string{}, all...) // JSON's [] where it is empty
	if !query.Has("n") {
		return all, nil
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 0 {
		return nil, &failure{http.StatusBadRequest, codePageInvalid, "n is a number of entries, 0 or more"}
	}
	if n >= len(all) {
		return all, nil
	}
	if n > 0 {
		next := url.URL{Path: req.URL.Path, RawQuery: url.Values{"n": {strconv.Itoa(n)}, "last": {all[n-1]}}.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	return all[:n], nil
}
