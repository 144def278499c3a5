module forkd/launcher

go 1.19
