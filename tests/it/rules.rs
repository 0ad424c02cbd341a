//! What a proxy of gRPC must get right, rule by rule, against an upstream that misbehaves on demand.
