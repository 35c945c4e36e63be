//! `deploy/entra`: the scripts that register mailbridge in a tenant. The bash script really runs,
//! against a stand-in for `az` that keeps a tenant in a folder and refuses every call it does not
//! know. What is compared is that tenant, never what the script says it did.

mod connection;
mod rig;
mod settings;
mod setup;
