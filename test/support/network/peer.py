"""A host on a network: answers every TCP connection and datagram with the sender's address; prints each datagram."""

import selectors
import socket
import sys

port = int(sys.argv[1])
selector = selectors.DefaultSelector()
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        server.listen(64)
    selector.register(server, selectors.EVENT_READ, kind)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.data == socket.SOCK_STREAM:
            connection, (address, *_) = key.fileobj.accept()
            connection.settimeout(5)
            try:
                connection.sendall(address.removeprefix("::ffff:").encode())
            except OSError:
                pass
            connection.close()
        else:
            payload, sender = key.fileobj.recvfrom(65536)
            print(payload.decode(), flush=True)
            key.fileobj.sendto(sender[0].removeprefix("::ffff:").encode(), sender)
