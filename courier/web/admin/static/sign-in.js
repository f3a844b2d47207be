// Signing in: the token goes out in a request's body, and what stays is the cookie that comes back. A form sent by
// the browser itself would not do: this page sends no referrer, and with it browsers hide where a form comes from.

const find = (id) => document.getElementById(id);

async function signIn(submitted) {
  submitted.preventDefault();
  find("button").disabled = true;
  let said;
  try {
    const answer = await fetch("/admin/sign-in", { method: "POST", body: new URLSearchParams({ token: find("token").value }) });
    if (answer.ok) {
      location.reload(); // the same page, with another door behind it
      return;
    }
    said = (await answer.json()).detail.error;
  } catch {
    said = "The node cannot be reached";
  }
  find("said").textContent = `${said}.`;
  find("button").disabled = false;
  find("token").select();
}

find("form").addEventListener("submit", signIn);
find("insecure").hidden = window.isSecureContext; // there the cookie would be lost
