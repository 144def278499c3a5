type Action = () => Promise<void>;

/** What has to be given back, in the reverse order of taking. */
export class CleanupStack {
  private actions: Action[] = [];

  push(action: Action): void {
    this.actions.push(action);
  }

  /** Runs all actions, last taken first, each whatever the others do; failures go to `onError`. */
  async run(onError: (error: unknown) => void): Promise<void> {
    for (let action = this.actions.pop(); action !== undefined; action = this.actions.pop()) {
      try {
        await action();
      } catch (error) {
        onError(error);
      }
    }
  }
}
