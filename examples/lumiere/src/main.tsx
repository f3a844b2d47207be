// The palette and the parts of Courier's own admin page, so that both look alike.
import "../../../courier/web/admin/static/tokens.css";
import "../../../courier/web/admin/static/parts.css";
import "./page.css";
import "./panels.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
