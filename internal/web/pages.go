package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed pages
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// pages are the templates of all pages in all languages: language → name → template.
type pages map[string]map[string]*template.Template

// view is what a template gets. Data is the page's own.
type view struct {
	Name   string
	Person Person // zero for strangers
	Nav    []navEntry
	Path   string
	Data   any
	// Lockdowns are those that are on, for who may see that.
	Lockdowns []Lockdown
}

// parsePages parses every page once for each language, with the layout around it and the parts that several pages have. A
// word that is missing is an error.
func parsePages() (pages, error) {
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	all := make(pages)
	for _, language := range languages {
		layout, err := template.New("layout.html").Funcs(functions(language)).ParseFS(pageFiles, "pages/layout.html", "pages/parts/*.html")
		if err != nil {
			return nil, err
		}
		all[language] = make(map[string]*template.Template)
		for _, file := range files {
			name := strings.TrimSuffix(file.Name(), ".html")
			if name == "layout" || file.IsDir() {
				continue
			}
			page, err := layout.Clone()
			if err == nil {
				page, err = page.ParseFS(pageFiles, "pages/"+file.Name())
			}
			if err != nil {
				return nil, err
			}
			all[language][name] = page
		}
	}
	return all, nil
}

// functions are what templates can call.
func functions(language string) template.FuncMap {
	return template.FuncMap{
		// t gives a text by its key, with what is to be filled in.
		"t": func(key string, fill ...any) (string, error) { return words(language, key, fill...) },
		// when shows a time, in UTC, since the browser's zone is not known here.
		"when": func(at time.Time) string { return moment(language, at) },
		// at shows a time as an element that the script puts into the browser's zone; day shows a day.
		"at":  func(moment time.Time) template.HTML { return timeElement(language, moment) },
		"day": func(at time.Time) string { return dayOf(language, at) },
		// say gives a text by its key, with a list of what is to be filled in.
		"say": func(key string, fill []any) (string, error) { return words(language, key, fill...) },
		// method names a kind of evidence.
		"method": func(name string) (string, error) { return methodOf(language, name) },
		// officenav gives the pages of administration that a role may see, and livetable what a table of live sessions shows.
		"officenav": func(role Role, page string) []navEntry { return entries(officeNavigation, language, role, page) },
		"livetable": liveTableOf,
		"lang":      func() string { return language },
		"asset":     assetPath,
	}
}

// page answers with a page.
func (p *Portal) page(w http.ResponseWriter, r *http.Request, name string, data any) {
	p.pageStatus(w, r, http.StatusOK, name, data)
}

// pageStatus answers with a page and a status. The page is complete before any of it is sent.
func (p *Portal) pageStatus(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	language := languageOf(r)
	who := personOf(r)
	v := view{Name: name, Person: who, Path: r.URL.Path, Data: data, Nav: entries(navigation, language, who.Role, r.URL.Path)}
	if who.Role.May(SeeLogins) {
		var err error
		if v.Lockdowns, err = p.config.Office.Lockdowns(r.Context()); err != nil {
			p.log.Error("it cannot be seen whether a lockdown is on", "error", err) // the page is of use without
		}
	}
	var out bytes.Buffer
	page, known := p.pages[language][name]
	err := errors.New("there is no such page")
	if known {
		err = page.Execute(&out, v)
	}
	if err != nil {
		p.log.Error("a page cannot be made", "page", name, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", language)
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // an error means that the browser has gone
}

// assets maps the file names under assets to the names that they are served by: with a piece of their hash, so that
// browsers may keep them for ever.
var assets = func() map[string]string {
	names := make(map[string]string)
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	for _, file := range files {
		content, err := assetFiles.ReadFile("assets/" + file.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		extension := path.Ext(file.Name())
		names[file.Name()] = strings.TrimSuffix(file.Name(), extension) + "." + hex.EncodeToString(sum[:6]) + extension
	}
	return names
}()

// assetPath gives the path of a file under assets.
func assetPath(name string) (string, error) {
	served, known := assets[name]
	if !known {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return "/assets/" + served, nil
}

// asset serves a file under assets.
func (p *Portal) asset(w http.ResponseWriter, r *http.Request) {
	for name, served := range assets {
		if served != r.PathValue("name") {
			continue
		}
		content, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			break
		}
		w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(content)
		return
	}
	p.notFound(w, r)
}
