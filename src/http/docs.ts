/* GET /docs: Swagger UI from the installed package, so that it also works where there is no way out. */
import type { Hono } from "hono";
import { html } from "hono/html";

/** Nothing else of the package is served, whatever the path says. */
const ASSETS = new Set(["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"]);

const INIT = `SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
`;

const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
  "x-content-type-options": "nosniff",
};

const ASSET_HEADERS = { "cache-control": "max-age=3600", "x-content-type-options": "nosniff" };

export function docsRoutes(app: Hono): void {
  const folder = new URL(".", import.meta.resolve("swagger-ui-dist/package.json"));

  app.get("/docs", (c) => c.html(page(), 200, PAGE_HEADERS));

  app.get("/docs/init.js", () => {
    return new Response(INIT, { headers: { ...ASSET_HEADERS, "content-type": "text/javascript; charset=utf-8" } });
  });

  app.get("/docs/:asset", (c) => {
    const asset = c.req.param("asset");
    if (!ASSETS.has(asset)) return c.notFound();
    return new Response(Bun.file(new URL(asset, folder)), { headers: ASSET_HEADERS });
  });
}

function page() {
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>postpaid: HTTP API</title>
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/init.js"></script>
  </body>
</html>`;
}
