DROP INDEX "uploads_promised";--> statement-breakpoint
CREATE INDEX "uploads_of_tenant" ON "uploads" USING btree ("tenant","expires_at");