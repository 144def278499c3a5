/** What a daemon that was started with the preload `fault-preload` is to suffer. */
export interface FaultOrder {
  /** At which of the events from now on, from 1; an event is the moment before or after a step. */
  readonly nth: number;
  /** Counts only this event, such as `before vm.pause`. */
  readonly event?: string;
  /** `kill` ends the daemon, `end-vms` its VMs, `both` the VMs and then the daemon, as `kill -9`; `stop` is a SIGTERM. */
  readonly action: 'kill' | 'end-vms' | 'both' | 'stop';
  /** Ids of the sandboxes whose VMs live on; none are named where VMs are not ended. */
  readonly spare?: readonly string[];
}

/** Environment of the preload: steps are those on paths below the root; each event is a line of the trace. */
export const ENV = { root: 'FAULT_ROOT', trace: 'FAULT_TRACE', order: 'FAULT_ORDER' } as const;

/** Begins the line of the event at which an order was carried out. */
export const HIT = '! ';
