// The same code is the page and its worker.

import { serve } from "./session.mjs";
import { startApp } from "./ui/app.mjs";

if (typeof document === "undefined") serve(globalThis);
else startApp();
