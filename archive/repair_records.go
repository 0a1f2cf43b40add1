package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// RepairedRecord tells of a record that could not be read, or was gone.
type RepairedRecord struct {
	Name string
	How  string // it was mended; empty where it was not
	Err  error  // why it was not
}

// RepairRecord mends a record that can't be read: a copy of it is taken from
// another archive, which may be nil, with all its blobs; one that has another's
// name, but is whole, gets its own; one that there is twice goes.
func (r *Repair) RepairRecord(ctx context.Context, bad BadRecord, from *Archive) RepairedRecord {
	data, signature, _ := r.store.ReadRecord(ctx, bad.Name)
	how, err := r.repairRecord(ctx, Entry{Record: &Record{name: bad.Name}, Data: data, Signature: signature}, from)
	return RepairedRecord{Name: bad.Name, How: how, Err: err}
}

func (r *Repair) repairRecord(ctx context.Context, bad Entry, from *Archive) (how string, err error) {
	name := bad.Record.name
	if twin, ok := r.twin(ctx, bad.Data); ok {
		return "there is a whole one, " + twin.Record.name, r.store.RemoveRecord(ctx, bad.Record)
	}
	if own, ok := ownName(name, bad.Data); ok {
		e := Entry{Record: own, Data: bad.Data, Signature: bad.Signature}
		if err := errors.Join(r.store.WriteRecords(ctx, []Entry{e})...); err != nil {
			return "", err
		}
		return "its name is again " + own.name, r.store.RemoveRecord(ctx, bad.Record)
	}
	if from == nil {
		return "", errors.New("it can be mended with an archive that has it: --from ARCHIVE")
	}
	e, err := from.sealed(ctx, name)
	if err == nil {
		return "from " + from.Location(), r.copyRecord(ctx, from, e.Record)
	}
	twin, ok := from.twin(ctx, bad.Data)
	if !ok {
		return "", fmt.Errorf("%s has no such record", from.Location())
	}
	if err := r.copyRecord(ctx, from, twin.Record); err != nil {
		return "", err
	}
	return "from " + from.Location() + ", where it is " + twin.Record.name, r.store.RemoveRecord(ctx, bad.Record)
}

// copyRecord copies a record and its blobs over what is there.
func (r *Repair) copyRecord(ctx context.Context, from *Archive, record *Record) error {
	copier, err := NewCopier(ctx, from, r.Archive)
	if err != nil {
		return err
	}
	_, err = copier.Copy(ctx, record, CopyOptions{})
	return err
}

// FindLost brings an image back of which the record is gone, if the other
// archive has it.
func (r *Repair) FindLost(ctx context.Context, lost Lost, from *Archive) RepairedRecord {
	catalog, err := from.Catalog(ctx)
	if err != nil {
		return RepairedRecord{Err: err}
	}
	i := slices.IndexFunc(catalog.Records, func(r *Record) bool { return r.View.Digest == lost.View })
	if i < 0 {
		return RepairedRecord{Err: fmt.Errorf("%s has no record of it", from.Location())}
	}
	done := RepairedRecord{Name: catalog.Records[i].name, How: "from " + from.Location()}
	done.Err = r.copyRecord(ctx, from, catalog.Records[i])
	return done
}

// twin returns a good record with these very bytes, and whether there is one.
func (a *Archive) twin(ctx context.Context, data []byte) (Entry, bool) {
	var like Record
	if json.Unmarshal(data, &like) != nil {
		return Entry{}, false
	}
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return Entry{}, false
	}
	for _, r := range catalog.all() {
		if r.ImageID != like.ImageID || !r.Archived.Equal(like.Archived) {
			continue
		}
		if e, err := a.sealed(ctx, r.name); err == nil && bytes.Equal(e.Data, data) {
			return e, true
		}
	}
	return Entry{}, false
}

// ownName is the record under the name that its content gives, as far as the
// checksum in the name that it has shows that the content is whole.
func ownName(name string, data []byte) (*Record, bool) {
	parts := strings.Split(name, "-")
	var r Record
	if len(parts) != 3 || json.Unmarshal(data, &r) != nil || r.ImageID.Validate() != nil {
		return nil, false
	}
	own := strings.Join([]string{r.stamp(), r.ImageID.Encoded()[:12], parts[2]}, "-")
	if own == name {
		return nil, false
	}
	record, err := decodeRecord(own, data)
	return record, err == nil
}
