// The session's cookie is for HTTPS, except on the machine's own address: say so before somebody tries in vain.
document.getElementById("insecure").hidden = window.isSecureContext;
