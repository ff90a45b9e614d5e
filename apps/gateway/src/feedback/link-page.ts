import type { FeedbackLink } from '#libs/core/feedback/feedback-link.js';

/** The page of a link, for browsers that come by themselves. It loads nothing and runs nothing. */
export function linkPage(link: FeedbackLink): string {
  return page(
    `<h1>${escaped(link.name)}</h1>
<form method="post" accept-charset="utf-8">
${fieldsOf(link)}
</form>`,
  );
}

/** What is shown after a press. */
export function thanksPage(): string {
  return page('<h1>Thank you</h1>\n<p>Your feedback was recorded. You can go back and change it.</p>');
}

/** What is shown where a press or a link was refused. */
export function refusalPage(message: string): string {
  return page(`<h1>This did not work</h1>\n<p>${escaped(message)}</p>`);
}

/** RFC 9110 and the CSP of a page that needs nothing: https://www.w3.org/TR/CSP3/ */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'x-robots-tag': 'noindex, nofollow',
} as const;

function fieldsOf({ kind, values }: FeedbackLink): string {
  if (kind === 'boolean') return `${button('true', 'Yes')}\n${button('false', 'No')}`;
  if (values) return values.map((value) => button(String(value), String(value))).join('\n');
  const input =
    kind === 'number'
      ? '<input name="value" type="number" step="any" required>'
      : kind === 'category'
        ? '<input name="value" required>'
        : '<textarea name="value" rows="8" required></textarea>';
  return `<p>${input}</p>\n<button>Send</button>`;
}

function button(value: string, label: string): string {
  return `<button name="value" value="${escaped(value)}">${escaped(label)}</button>`;
}

function page(body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Feedback</title>
<style>body{font:1rem system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 1rem}textarea{width:100%}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
