package entra

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// page is what a page shows. Without fields and buttons it is a message.
type page struct {
	Title   string
	Account string // who is signing in
	Text    string
	List    []string
	Mistake string
	Action  string // where the form goes; empty for no form
	Hidden  map[string]string
	Field   *field
	Buttons []button
}

// field is the one thing to enter at a page.
type field struct {
	Name, Label, Value string
	Secret             bool
}

// button sends the form, with its answer where it has one.
type button struct{ Label, Answer string }

// layout is all pages. It has no script: a person, a test and a text browser see the same.
var layout = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>
body { background: #f2f2f2; font: 15px/1.5 system-ui, sans-serif; margin: 0 }
main { background: #fff; box-shadow: 0 2px 6px #0003; margin: 10vh auto; max-width: 340px; padding: 44px }
h1 { font-size: 24px; font-weight: 600; margin: 8px 0 } .mistake { color: #c00 } small { color: #666 }
input { border: 0; border-bottom: 1px solid #666; box-sizing: border-box; font: inherit; padding: 6px 0; width: 100% }
button { background: #0067b8; border: 0; color: #fff; font: inherit; margin: 24px 8px 0 0; min-width: 108px; padding: 6px 12px }
</style></head>
<body><main>
<small>Simulated Entra ID</small>
{{with .Account}}<div>{{.}}</div>{{end}}
<h1>{{.Title}}</h1>
{{with .Mistake}}<p class="mistake" role="alert">{{.}}</p>{{end}}
{{with .Text}}<p>{{.}}</p>{{end}}
{{with .List}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{if .Action}}<form method="post" action="{{.Action}}">
{{range $name, $value := .Hidden}}<input type="hidden" name="{{$name}}" value="{{$value}}">
{{end}}{{with .Field}}<label>{{.Label}}<input name="{{.Name}}" value="{{.Value}}" type="{{if .Secret}}password{{else}}text{{end}}" autofocus required></label>
{{end}}{{range .Buttons}}<button{{with .Answer}} name="answer" value="{{.}}"{{end}}{{if eq .Answer "decline"}} formnovalidate{{end}}>{{.Label}}</button>
{{end}}</form>{{end}}
</main></body></html>
`))

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer") // an address may hold a code
	w.WriteHeader(status)
	if err := layout.Execute(w, p); err != nil {
		s.log.Debug("a page was not written", "error", err)
	}
}

// showStep shows the page of a step of a flow.
func (s *Server) showStep(w http.ResponseWriter, f *flow, next step, id, mistake string) {
	p := page{
		Action: "/" + f.tenantName + "/login", Hidden: map[string]string{"ctx": id}, Mistake: mistake,
		Account: f.person.UPN, Buttons: []button{{Label: "Next"}},
	}
	switch next {
	case stepAccount:
		p.Title, p.Field = "Sign in", &field{Name: "login", Label: "Email address", Value: f.hint}
	case stepPassword:
		p.Title, p.Field = "Enter password", &field{Name: "passwd", Label: "Password", Secret: true}
	case stepFactor:
		p.Title, p.Field = "Enter code", &field{Name: "otc", Label: "Code"}
		p.Text = "Please type in the code displayed on your authenticator app. The simulated one displays " + s.MFACode(f.person.UPN) + "."
	case stepAdmin:
		p.Title = "Need admin approval"
		p.Text = f.application.Name + " needs permission to access resources in your organization that only an admin can grant."
		p.Buttons = []button{{Label: "Return to the application", Answer: "decline"}}
	case stepConfirm:
		p.Title, p.Text, p.List = "Permissions requested", f.application.Name+" would like to:", f.wishes()
		p.Buttons = []button{{Label: "Accept", Answer: "accept"}, {Label: "Cancel", Answer: "decline"}}
		if f.userCode != "" {
			p.Title, p.List = "Are you trying to sign in to "+f.application.Name+"?", nil
			p.Text = "Only continue if you downloaded the app from a store or website that you trust."
			p.Buttons[0].Label = "Continue"
		}
	}
	s.show(w, http.StatusOK, p)
}

// wishes names the permissions that the application asks for.
func (f *flow) wishes() []string {
	granted, _ := f.scope.consented(f.application) // a problem has its own page
	return names(granted)
}

// showCodeEntry shows the page that asks for a user code.
func (s *Server) showCodeEntry(w http.ResponseWriter, code, mistake string) {
	s.show(w, http.StatusOK, page{
		Title: "Enter code to allow access", Text: "Once you enter the code displayed on your app or device, it will have access to your account.",
		Mistake: mistake, Action: "/devicelogin", Field: &field{Name: "otc", Label: "Code", Value: strings.ToUpper(code)},
		Buttons: []button{{Label: "Next"}},
	})
}

// showProblem shows a problem to the person.
func (s *Server) showProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	s.log.Info("entra refused", "path", r.URL.Path, "error", p.word, "code", p.code)
	s.show(w, p.status, page{Title: "Sign in", Text: "Sorry, but we're having trouble signing you in.", Mistake: s.body(w, r, p).Description})
}

// showPostBack shows the form that takes an answer to the application (OAuth 2.0 Form Post Response Mode section 2). In
// Entra a script sends it; here the person does.
func (s *Server) showPostBack(w http.ResponseWriter, to string, answer url.Values) {
	hidden := map[string]string{}
	for name := range answer {
		hidden[name] = answer.Get(name)
	}
	s.show(w, http.StatusOK, page{
		Title: "Working...", Text: "Continue to the application.", Action: to, Hidden: hidden,
		Buttons: []button{{Label: "Continue"}},
	})
}
