"use client";

export type { Subscription } from "./react/channel.js";
export { useCourier, useCourierEvent, useCourierState, type ChannelOrNone } from "./react/hooks.js";
export { CourierProvider, type CourierProviderProps } from "./react/provider.js";
