"""A kind of channels of which a service says who may join; for tests."""

from courier.schemas import ChannelKind

parcel = ChannelKind("parcel", join="ask")
