package httpapi

import (
	"slices"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// pageOf reads a list's page from the query. size is that of a list that says
// none, 0 for everything.
func (c *call) pageOf(size int, sortBy ...string) (deploy.Page, error) {
	q := c.r.URL.Query()
	p := deploy.Page{Number: 1, Size: size}
	var faults []status.Fault
	number := func(field string, into *int, most int) {
		text := q.Get(field)
		if text == "" {
			return
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n < 1 || int(n) > most {
			faults = append(faults, status.Fault{Field: field, Got: brief(text), Want: "a number from 1 to " + strconv.Itoa(most)})
			return
		}
		*into = int(n)
	}
	number("page", &p.Number, maxPage)
	number("page_size", &p.Size, maxPageSize)
	if p.SortBy = q.Get("sort_by"); p.SortBy != "" && !slices.Contains(sortBy, p.SortBy) {
		faults = append(faults, status.Fault{Field: "sort_by", Got: brief(p.SortBy), Want: strings.Join(sortBy, " or ")})
	}
	switch order := q.Get("sort_order"); order {
	case "", "asc":
	case "desc":
		p.Descending = true
	default:
		faults = append(faults, status.Fault{Field: "sort_order", Got: brief(order), Want: "asc or desc"})
	}
	for n, l := range q["label"] {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" || n >= maxLabelFilters {
			faults = append(faults, status.Fault{Field: "label", Got: brief(l), Want: "NAME=VALUE, at most 8 times"})
			continue
		}
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[name] = value
	}
	if len(faults) > 0 {
		return p, status.Invalid("api.query", "the query", faults)
	}
	return p, nil
}

// cut takes a page out of a whole list.
func cut[T any](all []T, p deploy.Page) []T {
	if p.Size == 0 {
		return all
	}
	from := min((p.Number-1)*p.Size, len(all))
	return all[from:min(from+p.Size, len(all))]
}
