/** One line that updates on a terminal, four lines elsewhere. */
export function progress(total: number, text: string): (done: number) => void {
  const { stdout } = process;
  return (done) => {
    if (stdout.isTTY) {
      const filled = Math.round((done / total) * 30);
      stdout.write(`\r  ${'█'.repeat(filled)}${'░'.repeat(30 - filled)} ${done}/${total} ${text}`);
      if (done === total) stdout.write('\n');
    } else if (done % Math.ceil(total / 4) === 0) stdout.write(`  ${done}/${total} ${text}\n`);
  };
}
