// Passkeys: asks the server for options, has the browser answer them, and sends the answer with the form. It is the only
// thing of the portal that cannot do without a script.
"use strict";

const able = typeof PublicKeyCredential === "function" && typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function";

// options fetches the options. Where the server sends the browser elsewhere, to sign in or to prove something first, the
// whole page goes there.
async function options(form) {
  const response = await fetch(form.dataset.options, { method: "POST", headers: { Accept: "application/json" } });
  if (response.redirected) {
    location.assign(response.url);
    return null;
  }
  if (!response.ok) {
    throw new Error(`options: status ${response.status}`);
  }
  return response.json();
}

// answer has the browser make a passkey, or use one.
function answer(form, given) {
  if (form.dataset.passkey === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(given) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(given) });
}

// trouble shows the text for an error, or the one for all others; nothing for none.
function trouble(form, error) {
  const texts = [...form.querySelectorAll("[data-trouble]")];
  const shown = error && (texts.find((text) => text.dataset.trouble === error.name) ?? texts.find((text) => text.dataset.trouble === ""));
  for (const text of texts) {
    text.hidden = text !== shown;
  }
}

async function send(form) {
  const button = form.querySelector("button");
  trouble(form, null);
  button.disabled = true;
  try {
    const given = await options(form);
    if (given) {
      const credential = await answer(form, given);
      form.elements.answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    }
  } catch (error) {
    trouble(form, error);
    button.disabled = false;
  }
}

for (const form of able ? document.querySelectorAll("form[data-passkey]") : []) {
  form.hidden = false;
  form.parentElement.querySelector("[data-without]").hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
