@0xb7c2f1d09a3e5418;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("cp");
struct User { id @0 :UInt64; name @1 :Text; age @2 :UInt8; active @3 :Bool; }
struct Item { id @0 :UInt64; sku @1 :Text; quantity @2 :UInt32; price @3 :Float64; size @4 :List(Float64); }
struct Order { id @0 :UInt64; customer @1 :UInt64; time @2 :UInt64; title @3 :Text; note @4 :Text; items @5 :List(Item); stats @6 :List(Float64); }
struct Bulk { samples @0 :List(Float32); users @1 :List(User); }
