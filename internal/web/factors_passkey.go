package web

import (
	"net/http"

	"postern/auth/factor"
)

// A passkey is the one thing that needs a script: assets/passkey.js asks for options, has the browser answer them, and
// sends the answer with the form that is on the page.

// passkeyOptions answers with what the browser makes a passkey with. A refusal is a redirect, which the script follows with
// the whole page.
func (p *Portal) passkeyOptions(w http.ResponseWriter, r *http.Request) {
	options, err := p.config.Factors.BeginPasskey(r.Context(), p.factorActor(r))
	if err != nil {
		p.factorTrouble(w, r, "beginning with a passkey", err, factorsPath(r))
		return
	}
	writeJSON(w, options)
}

// finishPasskey enrols the passkey that the browser has made.
func (p *Portal) finishPasskey(w http.ResponseWriter, r *http.Request) {
	_, proof, err := p.config.Factors.FinishPasskey(r.Context(), p.factorActor(r), r.PostFormValue("name"), []byte(r.PostFormValue("answer")))
	if err != nil {
		p.factorTrouble(w, r, "enrolling a passkey", err, factorsPath(r))
		return
	}
	p.proved(w, r, proof, back(r, "/factors?done=enrolled"))
}

// proofOptions answers with what the browser asks a passkey with.
func (p *Portal) proofOptions(w http.ResponseWriter, r *http.Request) {
	options, err := p.config.Factors.BeginProof(r.Context(), p.factorActor(r))
	if err != nil {
		p.proofTrouble(w, r, "asking for a passkey", err)
		return
	}
	writeJSON(w, options)
}

// provePasskey takes the answer of a passkey for a proof.
func (p *Portal) provePasskey(w http.ResponseWriter, r *http.Request) {
	proof, err := p.config.Factors.ProvePasskey(r.Context(), p.factorActor(r), []byte(r.PostFormValue("answer")))
	if err != nil {
		p.proofTrouble(w, r, "taking the answer of a passkey", err)
		return
	}
	p.proved(w, r, proof, back(r, "/"))
}

// proofTrouble answers that a proof was refused, or did not work: the page that asks for it says so.
func (p *Portal) proofTrouble(w http.ResponseWriter, r *http.Request, doing string, err error) {
	reason := factor.ReasonOf(err)
	if reason == "" {
		p.unavailable(w, r, doing, err)
		return
	}
	p.showProof(w, r, http.StatusUnprocessableEntity, reason)
}

func writeJSON(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(content) // an error means that the browser has gone
}
