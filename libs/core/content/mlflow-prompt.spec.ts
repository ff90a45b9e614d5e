import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { promptFromMlflow, promptToMlflow, unrenderable } from './mlflow-prompt.js';
import { validateContent } from './validate.js';

const chat = (...messages: unknown[]) => ({ form: 'chat' as const, text: JSON.stringify(messages) });

describe('prompts of MLflow', () => {
  it.each([
    [
      'a text',
      { form: 'text', text: 'Answer {{ question }}' },
      { type: 'text', text: 'Answer {{ question }}' },
    ],
    [
      'a chat',
      chat({ role: 'system', content: 'Be brief' }, { role: 'user', content: '{{q}}' }),
      {
        type: 'chat',
        messages: [
          { role: 'system', content: 'Be brief' },
          { role: 'user', content: '{{q}}' },
        ],
      },
    ],
    [
      'a chat with a variable for the conversation',
      chat({ role: 'system', content: 'x' }, { role: 'user', content: '{{messages}}' }),
      { type: 'chat', messages: [{ role: 'system', content: 'x' }, '{{messages}}'] },
    ],
  ] as const)('become ours where chains can render them: %s', (_, tags, content) => {
    expect(promptFromMlflow(tags)).toEqual(content);
    expect(unrenderable(promptFromMlflow(tags))).toBeUndefined();
  });

  it.each([
    ['Jinja', { form: 'text', text: '{% if a %}{{ a }}{% endif %}' }, 'Jinja'],
    ['dotted names', { form: 'text', text: '{{ user.name }}' }, 'not a placeholder'],
    ['a Jinja filter', { form: 'text', text: '{{ a | upper }}' }, 'not a placeholder'],
    ['open braces', { form: 'text', text: 'a {{ b' }, 'not closed'],
    ['our escape, which MLflow does not know', { form: 'text', text: '\\{{a}}' }, 'literal braces'],
    ['nothing', { form: 'text', text: '' }, 'empty'],
    ['another role', chat({ role: 'tool', content: 'x' }), 'role'],
    ['content parts', chat({ role: 'user', content: [{ type: 'text', text: 'x' }] }), 'role'],
    ['fields of a message', chat({ role: 'user', content: 'x', name: 'ada' }), 'role'],
    ['the slot inside a message', chat({ role: 'user', content: 'So: {{messages}}' }), 'element of its own'],
    ['no JSON', { form: 'chat', text: 'hello' }, 'role'],
    ['no messages', { form: 'chat', text: '[]' }, 'role'],
  ] as const)('are kept as they were where chains cannot, and say why: %s', (_, tags, why) => {
    const content = promptFromMlflow(tags);
    expect(content).toEqual({ type: 'mlflow', ...tags });
    expect(unrenderable(content)).toContain(why);
    validateContent('prompt', content);
  });

  it('come back as they were, whatever they are', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('{{a}}', '{{messages}}', 'Grüße "{{b}}"\n'),
    );
    fc.assert(
      fc.property(text, (given) => {
        expect(promptToMlflow(promptFromMlflow({ form: 'text', text: given }))).toEqual({
          form: 'text',
          text: given,
        });
      }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.record({ role: fc.constantFrom('system', 'user', 'assistant', 'tool'), content: text })),
        (messages) => {
          const back = promptToMlflow(promptFromMlflow(chat(...messages)));
          expect(back.form).toBe('chat');
          expect(JSON.parse(back.text)).toEqual(messages);
        },
      ),
    );
  });

  it('are written as Python writes JSON', () => {
    const text = '[{"role": "user", "content": "Gr\\u00fc\\u00dfe \\ud83d\\ude00\\u007f \\"{{a}}\\"\\n"}]';
    expect(promptToMlflow(promptFromMlflow({ form: 'chat', text })).text).toBe(text);
  });
});
