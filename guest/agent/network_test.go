package main

import (
	"reflect"
	"testing"
)

func TestNetworkArgument(t *testing.T) {
	got, given, err := networkOf([]string{"quiet", "ip=10.42.0.2::10.42.0.1:255.255.255.0::eth0:off:10.42.0.3"})
	want := network{
		device: "eth0", own: address{10, 42, 0, 2}, gateway: address{10, 42, 0, 1}, mask: address{255, 255, 255, 0},
		hasGateway: true, resolvers: []string{"10.42.0.3"},
	}
	if err != nil || !given || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, %v", got, given, err)
	}
	got, _, err = networkOf([]string{"ip=10.42.0.2::10.42.0.1:255.255.255.0::eth0:off"})
	if err != nil || got.resolvers != nil {
		t.Fatalf("without resolvers: %+v, %v", got, err)
	}
	if _, given, err = networkOf([]string{"quiet", "forkd.upper=50%"}); given || err != nil {
		t.Fatalf("without the argument: %v, %v", given, err)
	}
}

func TestNetworkArgumentThatIsWrong(t *testing.T) {
	for _, argument := range []string{
		"ip=dhcp", "ip=", "ip=10.42.0.256::10.42.0.1:255.255.255.0::eth0", "ip=10.42.0.2::x:255.255.255.0::eth0",
		"ip=10.42.0.2:::::eth0", "ip=10.42.0.2:::255.255.255.0::", "ip=1.2.3:::255.255.255.0::eth0",
		"ip=10.42.0.2:::255.255.255.0::eth0:off:resolver", "ip=10.42.0.2:::255.255.255.0::a-name-that-is-too-long",
	} {
		if _, given, err := networkOf([]string{argument}); !given || err == nil {
			t.Errorf("%s is taken", argument)
		}
	}
}
