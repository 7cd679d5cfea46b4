/** What the help of `millrace serve` says. Light: it is shown without loading a server. */

export const serveHelp = `
Every request but the page, the OpenAPI document and /healthz bears the token: Authorization: Bearer <MILLRACE_GATEWAY_TOKEN>.
MILLRACE_GATEWAY_TOKEN_FILE names a file that holds it. The document is at /api/v1/event-replay/openapi.json, a page to start, watch
and steer replays at /. Ctrl-C brings replays to a mark; the next start goes on with them. docs/replay-api.md tells more.

Exit codes: 0 it was ended by a signal, 1 it failed, 2 the settings are wrong.
`
