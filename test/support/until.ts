/** Asks again until the answer is yes; the test runner's own limit ends a wait that never does. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
