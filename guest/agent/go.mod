module forkd/agent

go 1.19
