"""Asking the router to let others reach this node: PCP, NAT-PMP, UPnP.

`mapper` decides when and whom to ask; `pcp`, `nat_pmp` and `upnp` ask; `gateway` finds the router.
Rules: what a router says is a stranger's word.  Only the default gateway is listened to, lengths, nonces and ports are
checked, and an external address that the internet cannot reach is never taken for one that it can.
"""
