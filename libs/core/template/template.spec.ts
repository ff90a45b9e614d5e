import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePrompt, MESSAGES_SLOT, TemplateError } from './template.js';

const text = (template: string) => compilePrompt({ type: 'text', text: template });

describe('a text prompt', () => {
  it('becomes one user message with its variables filled', () => {
    const prompt = text('Hello {{name}}, you have {{ count }} tickets.');
    expect(prompt.variables).toEqual(['name', 'count']);
    expect(prompt.render({ name: 'Aoi', count: 3 }, [])).toEqual([
      { role: 'user', content: 'Hello Aoi, you have 3 tickets.' },
    ]);
  });

  it('names every missing and every extra variable in one error', () => {
    const error = thrownBy(() => text('{{a}} {{b}} {{c}}').render({ b: 1, x: 1, y: 2 }, []));
    expect([error.missing, error.extra]).toEqual([
      ['a', 'c'],
      ['x', 'y'],
    ]);
    expect(error.message).toContain('missing variables: a, c');
    expect(error.message).toContain('does not have: x, y');
  });

  it('does not take a property of Object for a variable', () => {
    expect(thrownBy(() => text('{{constructor}}').render({}, [])).missing).toEqual(['constructor']);
  });

  it('never expands a value again', () => {
    expect(text('{{a}}').render({ a: '{{b}} {{messages}}' }, [])[0]!.content).toBe('{{b}} {{messages}}');
  });

  it('writes literal braces for \\{{', () => {
    expect(text('\\{{name}} is {{name}}').render({ name: 'x' }, [])[0]!.content).toBe('{{name}} is x');
  });

  it('puts the conversation between the text before and after its slot', () => {
    const prompt = text('Be kind.\n{{messages}}\nAnswer {{name}}.');
    expect(prompt.render({ name: 'Bo' }, [{ role: 'user', content: 'hi' }])).toEqual([
      { role: 'user', content: 'Be kind.\n' },
      { role: 'user', content: 'hi' },
      { role: 'user', content: '\nAnswer Bo.' },
    ]);
  });

  it.each(['{{', '{{a', 'a {{ b c }}', '{{1a}}', '{{}}', '{{messages}} {{messages}}'])(
    'is refused when it reads %s',
    (bad) => {
      expect(() => text(bad)).toThrow(TemplateError);
    },
  );

  it('renders any text around any values back to exactly those pieces', () => {
    const literal = fc
      .string({ unit: 'grapheme' })
      .filter((piece) => !piece.includes('{') && !piece.endsWith('\\'));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(literal, fc.string({ unit: 'binary' })), { minLength: 1 }),
        literal,
        (pairs, tail) => {
          const template = pairs.map(([before], index) => `${before}{{v${index}}}`).join('') + tail;
          const values = Object.fromEntries(pairs.map(([, value], index) => [`v${index}`, value]));
          const expected = pairs.map(([before, value]) => before + value).join('') + tail;
          expect(text(template).render(values, [])[0]!.content).toBe(expected);
        },
      ),
    );
  });
});

describe('a chat prompt', () => {
  const prompt = compilePrompt({
    type: 'chat',
    messages: [
      { role: 'system', content: 'You help {{team}}.' },
      MESSAGES_SLOT,
      { role: 'user', content: 'In one line.' },
    ],
  });

  it('puts the conversation where the slot stands, untouched', () => {
    const conversation = [{ role: 'user', content: [{ type: 'text', text: '{{team}}' }], name: 'n' }];
    expect(prompt.render({ team: 'ops' }, conversation)).toEqual([
      { role: 'system', content: 'You help ops.' },
      conversation[0],
      { role: 'user', content: 'In one line.' },
    ]);
  });

  it('refuses a conversation it has no slot for, instead of dropping it', () => {
    const slotless = compilePrompt({ type: 'chat', messages: [{ role: 'user', content: 'x' }] });
    expect(() => slotless.render({}, [{ role: 'user', content: 'lost?' }])).toThrow(
      /no \{\{messages\}\} slot/,
    );
  });

  it('refuses the slot inside a message', () => {
    expect(() =>
      compilePrompt({ type: 'chat', messages: [{ role: 'user', content: 'a {{messages}}' }] }),
    ).toThrow(/element of its own/);
  });

  it('refuses to render into no message at all', () => {
    expect(() => compilePrompt({ type: 'chat', messages: [MESSAGES_SLOT] }).render({}, [])).toThrow(
      /no message/,
    );
  });
});

function thrownBy(act: () => unknown): TemplateError {
  try {
    act();
  } catch (error) {
    if (error instanceof TemplateError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
